//! What a download leaves that got nothing: nothing.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, unlinkat};

use super::finish::check_is_there;
use super::{Base, Download, FileStore, Presence, open};
use crate::model::files::PART_SUFFIX;

impl FileStore {
    /// Takes away the `NAME.part` that this download has made, if nothing was written to it, or what was is `worthless`; says whether it
    /// did. Whoever would still write to it finds that it is lost. What is being written at this moment stays.
    pub fn leave_no_trace(&self, worthless: bool) -> bool {
        let made = self.download.as_ref().filter(|download| download.is_new && self.is_part());
        let Some(download) = made else { return false };
        let part = format!("{}{PART_SUFFIX}", self.torrent.name());
        if !open::is_at(&download.lock, &download.out, &part).is_ok_and(|own| own) {
            return false;
        }
        match &self.base {
            Base::Folder(root) => {
                if worthless {
                    self.remove_files(download, root);
                }
                // Nothing but an empty folder can be removed so.
                unlinkat(&download.out, part, AtFlags::REMOVEDIR).is_ok()
            }
            Base::Around(_) => {
                // It gets its length, and with that its first byte, under the same lock, which a disk that hangs may hold for ever.
                let Ok(_alone) = download.writing[0].try_lock() else { return false };
                (worthless || download.lock.metadata().is_ok_and(|file| file.len() == 0))
                    && unlinkat(&download.out, part, AtFlags::empty()).is_ok()
            }
        }
    }

    /// Removes the files that the download has made, as far as they are still its own, and their folders.
    fn remove_files(&self, download: &Download, root: &OwnedFd) {
        for (index, file) in self.torrent.files().as_slice().iter().enumerate() {
            let Ok(presence) = download.writing[index].try_lock() else { continue };
            if *presence != Presence::Absent && check_is_there(self, index, file.len).is_ok() {
                // What cannot be removed stays, and the folder with it.
                let _ = open::remove(root, &file.path);
            }
        }
    }
}
