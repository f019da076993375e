//! Makes a failing scenario smaller: takes out events, hosts, sites, contents and expectations as long as it still fails the same way.
//!
//! Knows no world: it is told whether what is left still fails. What it takes out of one list does not scramble the
//! rest, because every event and host draws from a stream of its own name. The result is minimal in this sense: taking out any
//! single event, group, site, content or expectation, or one host of a group, makes the failure go away.
//!
//! Source: Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", 2002 (the algorithm *ddmin*, reduced to
//! complements).

use crate::scenario::schema::File;

/// The smallest scenario found that still `fails`, which `file` does.
pub fn shrink(file: &File, mut fails: impl FnMut(&File) -> bool) -> File {
    let mut small = file.clone();
    loop {
        let before = (size(&small), small.site.len());
        lists(&mut small, &mut fails);
        counts(&mut small, &mut fails);
        if (size(&small), small.site.len()) == before {
            return small;
        }
    }
}

/// Events, hosts, contents and expectations.
#[must_use]
pub fn size(file: &File) -> [usize; 4] {
    let hosts = file.group.iter().map(|group| group.count as usize).sum();
    [file.event.len() + file.fault.len(), hosts, file.content.len(), file.expect.len()]
}

/// Shortens each list of the file.
fn lists(small: &mut File, fails: &mut impl FnMut(&File) -> bool) {
    // What refers to what was taken out is `mended` before it is tried.
    macro_rules! shorten {
        ($list:ident) => {
            shorten!($list, |_| {});
        };
        ($list:ident, $mend:expr) => {
            let mend: fn(&mut File) = $mend;
            let items = std::mem::take(&mut small.$list);
            let frame = small.clone();
            let with = |items: &[_]| {
                let mut file = frame.clone();
                file.$list = items.to_vec();
                mend(&mut file);
                file
            };
            let least = minimise(items, |items| fails(&with(items)));
            *small = with(&least);
        };
    }
    shorten!(event);
    shorten!(fault);
    shorten!(group, |file| {
        let groups = &file.group;
        file.site.retain(|site| groups.iter().any(|group| group.site.as_ref() == Some(&site.name)));
    });
    shorten!(site, |file| {
        for group in &mut file.group {
            let stays = |name: &String| file.site.iter().any(|site| site.name == *name);
            group.site = group.site.take().filter(stays);
        }
    });
    shorten!(content);
    shorten!(expect);
}

/// Makes every group as small as can be, by halving what is taken away.
fn counts(small: &mut File, fails: &mut impl FnMut(&File) -> bool) {
    for group in 0..small.group.len() {
        let mut less = small.group[group].count / 2;
        while less > 0 {
            let mut file = small.clone();
            let count = file.group[group].count - less;
            file.group[group].count = count;
            let name = file.group[group].name.clone();
            file.host.retain(|host| index_in(&host.name, &name).is_none_or(|ix| ix < count));
            if fails(&file) {
                *small = file;
                less = less.min(small.group[group].count / 2);
            } else {
                less /= 2;
            }
        }
    }
}

/// The index of the host `name`, such as `leech[3]`, if it is of `group`.
fn index_in(name: &str, group: &str) -> Option<u32> {
    name.strip_prefix(group)?.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The fewest of `items`, in their order, for which it still `fails`: stretches are taken out, shorter and shorter ones.
fn minimise<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut stretch = items.len();
    while stretch > 0 {
        let mut start = 0;
        while start < items.len() {
            let end = items.len().min(start + stretch);
            let rest = [&items[..start], &items[end..]].concat();
            if fails(&rest) {
                items = rest;
            } else {
                start = end;
            }
        }
        stretch /= 2;
    }
    items
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{minimise, shrink, size};
    use crate::scenario::schema::File;

    proptest! {
        #[test]
        fn what_matters_is_kept_and_nothing_else(
            len in 0usize..60,
            needed in prop::collection::btree_set(0usize..60, 0..6),
        ) {
            let items: Vec<usize> = (0..len).collect();
            let needed: Vec<usize> = needed.into_iter().filter(|item| *item < len).collect();
            let least = minimise(items, |items| needed.iter().all(|item| items.contains(item)));
            prop_assert_eq!(least, needed);
        }
    }

    #[test]
    fn a_scenario_is_reduced_to_what_makes_it_fail() {
        let event = |id: u32| format!("[[event]]\nid = \"e{id}\"\nat = \"{id}s\"\ndo = \"heal\"\n");
        let host = |ix: u32| format!("[[host]]\nname = \"leech[{ix}]\"\nup = \"1 Mbit/s\"\n");
        let text = format!(
            "schema = 1\nname = \"s\"\ncontent = []\n[clock]\ndeadline = \"9s\"\n[[group]]\nname = \"leech\"\ncount = 40\nsite = \"far\"\n[[group]]\nname = \"gone\"\nsite = \"gone\"\n[[site]]\nname = \"far\"\n[[site]]\nname = \"gone\"\n{}{}",
            (0..20).map(event).collect::<String>(),
            host(2) + &host(30),
        );
        let file: File = toml::from_str(&text).expect("a scenario");
        let fails = |file: &File| {
            let has = |id: &str| file.event.iter().any(|event| event.id.as_deref() == Some(id));
            let known = |name: &String| file.site.iter().any(|site| site.name == *name);
            let right = file.group.iter().filter_map(|group| group.site.as_ref()).all(known);
            right && has("e3") && has("e17") && file.group.iter().any(|group| group.count >= 5)
        };
        let small = shrink(&file, fails);
        assert_eq!(size(&small), [2, 5, 0, 0]);
        assert!(small.site.is_empty() && small.group[0].site.is_none(), "its site does not matter");
        let hosts: Vec<&str> = small.host.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(hosts, ["leech[2]"]);
    }
}
