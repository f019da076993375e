//! What is distributed, and who starts with how much of it.

use sta_core::model::bitfield::{Bitfield, PieceRange};
use sta_core::model::files::{FileKind, Files, FilesError, NewFile};
use sta_core::model::layout::Layout;
use sta_core::model::limits;

use super::Resolver;
use super::hosts::role_of;
use crate::scenario::dist::below;
use crate::scenario::mistake::Place;
use crate::scenario::plan::{ContentIx, ContentPlan, HostIx, HostPlan, Role, Take};
use crate::scenario::schema::{Content, FileTable, RoleName};
use crate::scenario::units::{self, Ppm};

impl Resolver<'_> {
    /// Every content; hosts learn what they take part in.
    pub(super) fn contents(&mut self, hosts: &mut [HostPlan]) -> Vec<ContentPlan> {
        let file = self.file;
        if file.content.is_empty() {
            self.wrong(&Place::top("content"), "there is nothing to distribute; add a [[content]]");
        }
        let mut plans = Vec::new();
        for (ix, content) in file.content.iter().enumerate() {
            let place = Place::top("content").index(ix);
            if file.content.iter().filter(|other| other.name == content.name).count() > 1 {
                self.wrong(
                    &place.key("name"),
                    format!("there are two contents {:?}", content.name),
                );
            }
            let named = Files::single(content.name.clone(), 0, FileKind::Plain);
            self.check(named, &place.key("name"));
            let Some(plan) = self.content(content, &place) else { continue };
            self.takes(plans.len(), content, plan.layout, &place, hosts);
            plans.push(plan);
        }
        plans
    }

    fn content(&mut self, content: &Content, place: &Place) -> Option<ContentPlan> {
        let files = match (&content.size, content.files.as_slice()) {
            (Some(size), []) => {
                vec![(content.name.clone(), self.check(units::size(size), &place.key("size"))?)]
            }
            (None, [_, ..]) => self.files(&content.files, &place.key("files"))?,
            _ => {
                self.wrong(
                    place,
                    "write either size = \"8 MiB\" or files = [{ name = \"a\", size = \"1 MiB\" }]",
                );
                return None;
            }
        };
        let sizes = files.iter().map(|(_, size)| *size);
        let Some(total) =
            sizes.reduce(|a, b| a.saturating_add(b)).filter(|&total| total < u64::MAX)
        else {
            self.wrong(place, "the files are too large");
            return None;
        };
        let piece = match &content.piece {
            None => Layout::default_piece_bytes(total),
            Some(text) => {
                let bytes = self.check(units::size(text), &place.key("piece"))?;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            }
        };
        let layout = self.check(Layout::new(total, piece), &place.key("piece"))?;
        let seed = self.seed.child(&format!("content/{}", content.name)).0;
        Some(ContentPlan { name: content.name.clone(), files, layout, seed, bound: None })
    }

    fn files(&mut self, tables: &[FileTable], place: &Place) -> Option<Vec<(String, u64)>> {
        let count: u64 = tables.iter().map(|table| u64::from(table.count)).sum();
        if count > limits::FILES_MAX as u64 {
            self.wrong(place, format!("{count} files are more than {}", limits::FILES_MAX));
            return None;
        }
        let (mut files, mut all_named) = (Vec::new(), true);
        for (ix, table) in tables.iter().enumerate() {
            let place = place.index(ix);
            let size = self.check(units::size(&table.size), &place.key("size"))?;
            let named = together(&[(table.name.clone(), 0)]);
            all_named &= self.check(named, &place.key("name")).is_some();
            match table.count {
                0 => self.wrong(&place.key("count"), "no file at all; leave the entry out"),
                1 => files.push((table.name.clone(), size)),
                _ => files.extend((0..table.count).map(|n| (format!("{}-{n}", table.name), size))),
            }
        }
        if all_named && !files.is_empty() {
            self.check(together(&files), place)?;
        }
        Some(files)
    }

    /// Who takes part, and with what at the start.
    fn takes(
        &mut self,
        ix: ContentIx,
        content: &Content,
        layout: Layout,
        place: &Place,
        hosts: &mut [HostPlan],
    ) {
        let node = |host: &HostIx| hosts[*host].role == Role::Node;
        let takers: Vec<HostIx> = match &content.on {
            None => (0..hosts.len()).filter(node).collect(),
            Some(text) => self.fixed(text, &place.key("on")).into_iter().filter(node).collect(),
        };
        if takers.is_empty() {
            self.wrong(&place.key("on"), "no node takes part in this content");
            return;
        }
        let is_seed = |host: &HostPlan| {
            let group = self.file.group.iter().find(|group| group.name == host.group);
            group.and_then(role_of) == Some(RoleName::Seed)
        };
        let share = |host: &HostPlan| if is_seed(host) { Ppm::ALL } else { Ppm::NONE };
        let mut shares: Vec<Ppm> = hosts.iter().map(share).collect();
        for (text, share) in &content.initial {
            let place = place.key("initial").key(text);
            let share = self.share(Some(share), &place, Ppm::NONE);
            for host in self.fixed(text, &place) {
                if takers.binary_search(&host).is_err() {
                    self.wrong(
                        &place,
                        format!("{} takes no part in {:?}", hosts[host].name, content.name),
                    );
                    break;
                }
                shares[host] = share;
            }
        }
        let mut all = Bitfield::empty(layout.pieces());
        for &host in &takers {
            let pieces = self.pieces(&content.name, &hosts[host], shares[host], layout.pieces());
            pieces.ranges().into_iter().for_each(|range| all.insert_range(range, |_| {}));
            hosts[host].takes.push(Take { content: ix, have: pieces.ranges() });
        }
        self.possible(content, &takers, &all, place, hosts);
    }

    /// Draws which pieces a host starts with: its share of them, rounded up.
    fn pieces(&self, content: &str, host: &HostPlan, share: Ppm, pieces: u32) -> Bitfield {
        if share == Ppm::ALL {
            return Bitfield::full(pieces);
        }
        let mut rng = self.seed.stream(&format!("initial/{content}/{}", host.name));
        let wanted = (u64::from(pieces) * u64::from(share.0)).div_ceil(1_000_000) as usize;
        let mut order: Vec<u32> = (0..pieces).collect();
        let mut have = Bitfield::empty(pieces);
        for i in 0..wanted {
            let other = i + below(order.len() - i, &mut rng);
            order.swap(i, other);
            have.insert_range(PieceRange::one(order[i]), |_| {});
        }
        have
    }

    /// Whether everybody can get everything at all.
    fn possible(
        &mut self,
        content: &Content,
        takers: &[HostIx],
        all: &Bitfield,
        place: &Place,
        hosts: &[HostPlan],
    ) {
        let name = &content.name;
        if !all.is_full() {
            let missing = all.len() - all.count();
            self.wrong(place, format!(
                "nobody starts with {missing} of the {} pieces of {name:?}; add a group with role = \"seed\", or initial = {{ \"{}\" = \"100%\" }}",
                all.len(), hosts[takers[0]].name
            ));
        }
        if takers.len() == 1 {
            self.wrong(place, format!("{name:?} has one node and nobody to give it to"));
        }
    }
}

/// These files in one folder, as a torrent would have them.
fn together(files: &[(String, u64)]) -> Result<Files, FilesError> {
    let listed = files
        .iter()
        .map(|(path, len)| Ok(NewFile { path: path.clone(), len: *len, kind: FileKind::Plain }));
    Files::folder("content".to_owned(), listed)
}
