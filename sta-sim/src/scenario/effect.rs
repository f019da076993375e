//! What a verb does to its hosts: what the driver and the checks have to know of it.

use serde::{Deserialize, Serialize};

use super::plan::{Behaviour, SetPlan, Verb};

/// What a verb does to its hosts, as far as the driver and the checks have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It is over as soon as it is done, unless the file says for how long it is so.
    Once,
    /// It goes on until something undoes it.
    Lasts,
    /// Once; and bytes on the disk are no longer the content's.
    Rots,
    /// Once; and the node no longer behaves as the product does.
    Turns,
    /// It goes on until something undoes it, and the host says what it cannot give: nothing else that it does or leaves is
    /// excused.
    Withholds,
}

impl Effect {
    /// Whether it is over as soon as it is done.
    #[must_use]
    pub const fn is_over_at_once(self) -> bool {
        match self {
            Self::Once | Self::Rots | Self::Turns => true,
            Self::Lasts | Self::Withholds => false,
        }
    }
}

impl Verb {
    /// What it does to its hosts. Every verb has its place here: one that was taken to last and does not would excuse whatever comes
    /// after it.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Reset
            | Self::Heal
            | Self::Restart
            | Self::Join
            | Self::Leave
            | Self::TrackerAmnesia => Effect::Once,
            Self::Set(SetPlan { behaviour: None | Some(Behaviour::Honest), .. }) => Effect::Once,
            Self::Set(_) => Effect::Turns,
            Self::CorruptDisk(_) => Effect::Rots,
            Self::DiskUnreadable(_) => Effect::Withholds,
            Self::Cut
            | Self::CutOneway
            | Self::Refuse
            | Self::Clog(_)
            | Self::Hold
            | Self::Slow(_)
            | Self::Flap(_)
            | Self::Crash
            | Self::PowerOff
            | Self::Wipe
            | Self::Pause
            | Self::DiskFull
            | Self::DiskSlow { .. }
            | Self::TornWrite
            | Self::TrackerDown
            | Self::TrackerSlow(_) => Effect::Lasts,
        }
    }
}
