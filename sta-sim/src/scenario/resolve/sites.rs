//! Sites, and who is of them.

use std::time::Duration;

use sta_core::model::config::EngineConfig;

use super::Resolver;
use crate::scenario::mistake::Place;
use crate::scenario::nearest::nearest;
use crate::scenario::schema::Group;
use crate::scenario::selector::parse::is_of_name;
use crate::scenario::site::{SiteIx, SitePlan};

/// Longest name of a group or a site.
const NAME_MAX: usize = 40;

impl Resolver<'_> {
    /// Every site.
    pub(super) fn sites(&mut self) -> Vec<SitePlan> {
        let file = self.file;
        let mut sites = Vec::new();
        for (ix, site) in file.site.iter().enumerate() {
            let place = Place::top("site").index(ix);
            let names = file.site.iter().map(|site| site.name.as_str());
            self.name("site", &site.name, names, &place.key("name"));
            if !file.group.iter().any(|group| group.site.as_ref() == Some(&site.name)) {
                let name = &site.name;
                let why =
                    format!("nobody is of the site {name:?}; write site = {name:?} in a [[group]]");
                self.wrong(&place.key("name"), why);
            }
            sites.push(SitePlan {
                name: site.name.clone(),
                up: self.rate(site.up.as_ref(), &place.key("up")),
                down: self.rate(site.down.as_ref(), &place.key("down")),
                latency: Duration::from_nanos(self.or_default(
                    &site.latency,
                    &place.key("latency"),
                    "0s",
                )),
            });
        }
        sites
    }

    /// The site of a group.
    pub(super) fn site_of(&mut self, group: &Group, place: &Place) -> Option<SiteIx> {
        let name = group.site.as_ref()?;
        let names = || self.core.sites.iter().map(|site| site.name.as_str());
        let found = names().position(|known| known == name);
        if found.is_none() {
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("add a [[site]] with name = {name:?}"),
            };
            self.wrong(place, format!("there is no site {name:?}; {hint}"));
        }
        found
    }

    /// A node is told where it stands: that should be a site of the file, if there are any.
    pub(super) fn told(&mut self, engine: &EngineConfig, place: &Place) {
        let told = engine.site.as_str();
        let names = || self.core.sites.iter().map(|site| site.name.as_str());
        if !told.is_empty()
            && names().all(|name| name != told)
            && let Some(near) = nearest(told, names())
        {
            self.wrong(place, format!("there is no site {told:?}; did you mean {near:?}?"));
        }
    }

    /// Whether `name` can be one, of a `what`, and is the only one of `names`.
    pub(super) fn name<'a>(
        &mut self,
        what: &str,
        name: &str,
        names: impl Iterator<Item = &'a str>,
        place: &Place,
    ) {
        if !name.starts_with(|c: char| c.is_ascii_alphabetic())
            || !name.chars().all(is_of_name)
            || name.len() > NAME_MAX
        {
            self.wrong(place, format!("{name:?} is no name for a {what}: a letter, then letters, digits, '_' and '-', {NAME_MAX} at most"));
        } else if names.filter(|other| *other == name).count() > 1 {
            self.wrong(place, format!("there are two {what}s {name:?}"));
        }
    }
}
