//! What moved between this node and each other, over all sessions: for people to read.
//!
//! Invariant: at most [`limits::ACCOUNTS_MAX`] entries, whatever strangers call themselves; of those with whom nothing moved there
//! is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::session::Session;
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::model::status::PeerStatus;
use crate::model::time::Time;

/// The sum of the sessions that have ended, by the name of the peer.
#[derive(Debug, Default)]
pub struct Accounts(BTreeMap<NodeId, Account>);

#[derive(Debug)]
struct Account {
    addr: SocketAddr,
    down: u64,
    up: u64,
}

impl Accounts {
    /// `session` has ended.
    pub fn add(&mut self, session: &Session) {
        let (down, up) = (session.pipeline.total(), session.up.total());
        if down + up == 0 {
            return;
        }
        let new = Account { addr: session.remote, down: 0, up: 0 };
        let account = self.0.entry(session.peer.node.clone()).or_insert(new);
        account.addr = session.remote;
        account.down += down;
        account.up += up;
        if self.0.len() > limits::ACCOUNTS_MAX {
            let least = self.0.iter().min_by_key(|(_, account)| account.down + account.up);
            if let Some(least) = least.map(|(node, _)| node.clone()) {
                self.0.remove(&least);
            }
        }
    }

    /// Every peer that has a session, or moved something, by name.
    pub fn rows<'a>(
        &self,
        sessions: impl Iterator<Item = &'a Session>,
        now: Time,
    ) -> Vec<PeerStatus> {
        let ended = self.0.iter().map(|(node, account)| (node.clone(), row(node, account)));
        let mut rows: BTreeMap<NodeId, PeerStatus> = ended.collect();
        for session in sessions {
            let node = &session.peer.node;
            let new = || row(node, &Account { addr: session.remote, down: 0, up: 0 });
            let row = rows.entry(node.clone()).or_insert_with(new);
            row.addr = session.remote;
            row.connected = true;
            row.have = session.have.count();
            row.down += session.pipeline.total();
            row.up += session.up.total();
            row.down_rate = session.pipeline.shown_rate(now);
            row.up_rate = session.up.shown(now);
        }
        rows.into_values().collect()
    }
}

fn row(node: &NodeId, account: &Account) -> PeerStatus {
    PeerStatus {
        node: node.clone(),
        addr: account.addr,
        connected: false,
        have: 0,
        down: account.down,
        up: account.up,
        down_rate: 0,
        up_rate: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Accounts;
    use crate::engine::session::Session;
    use crate::model::layout::Layout;
    use crate::model::limits;
    use crate::model::time::Time;

    fn session(name: &str, down: u32) -> Session {
        let layout = Layout::new(1 << 20, 1 << 16).expect("in bounds");
        let remote = ([192, 0, 2, 7], 6881).into();
        let node = name.parse().expect("a plain name");
        let mut session = Session::new(node, remote, layout, Time::ZERO);
        session.pipeline.answered(down, Time::ZERO, Time::ZERO);
        session
    }

    #[test]
    fn sessions_add_up_and_names_alone_cost_nothing() {
        let mut accounts = Accounts::default();
        accounts.add(&session("a", 5));
        accounts.add(&session("idle", 0));
        let standing = [session("a", 7), session("b", 0)];
        let rows = accounts.rows(standing.iter(), Time::ZERO);
        let rows: Vec<_> = rows.iter().map(|r| (r.node.as_str(), r.down, r.connected)).collect();
        assert_eq!(rows, [("a", 12, true), ("b", 0, true)]);
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_the_largest_stay() {
        let mut accounts = Accounts::default();
        accounts.add(&session("friend", 1 << 20));
        for n in 0..2 * limits::ACCOUNTS_MAX {
            accounts.add(&session(&format!("n{n}"), 1));
        }
        let rows = accounts.rows(std::iter::empty(), Time::ZERO);
        assert_eq!(rows.len(), limits::ACCOUNTS_MAX);
        assert!(rows.iter().any(|row| row.node.as_str() == "friend"));
    }
}
