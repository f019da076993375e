//! How many files and connections this process may have open. The soft limit is 1,024 nearly everywhere, for the sake of programs that
//! use `select`; who does not may raise it to the hard one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sta_core::model::limits;

/// Raises the soft limit of open files to the hard one. Where that is refused it stays as it is.
pub fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused where the hard limit says more than the system can do: what there was is enough for most.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// How many connections a tracker may have.
#[must_use]
pub fn tracker_connections() -> usize {
    connections_within(getrlimit(Resource::Nofile).current)
}

/// A quarter is left for whatever else the process has open: its database, and the node that it may be part of.
fn connections_within(limit: Option<u64>) -> usize {
    let most = limits::TRACKER_CONNECTIONS_MAX;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(most, |limit| (limit - limit / 4).min(most))
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::{connections_within, raise_limit};

    #[test]
    fn the_limit_is_what_the_system_allows() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let less = maximum.map(|maximum| maximum - 1);
        setrlimit(Resource::Nofile, Rlimit { current: less, maximum }).expect("one may have less");
        raise_limit();
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: maximum, maximum });
    }

    #[test]
    fn connections_leave_room_for_files() {
        let table = [(Some(1_024), 768), (Some(1 << 20), 16_384), (Some(0), 0), (None, 16_384)];
        for (limit, connections) in table {
            assert_eq!(connections_within(limit), connections, "{limit:?}");
        }
    }
}
