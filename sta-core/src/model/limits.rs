//! Every bound in the system, with its reason. Nothing is allocated on a stranger's word alone.

use std::time::Duration;

/// Longest name of a node: fits a column of a table, and a log line.
pub const NODE_ID_BYTES_MAX: usize = 64;

/// Longest header between peers. The longest honest one is a `have` of [`HAVE_RANGES_MAX`] ranges, 48 KiB.
pub const PEER_HEADER_BYTES_MAX: usize = 64 << 10;
/// Longest header to a tracker, which reads from many at a time: as between peers.
pub const TO_TRACKER_HEADER_BYTES_MAX: usize = PEER_HEADER_BYTES_MAX;
/// Longest header from a tracker: a status answer names many nodes.
pub const FROM_TRACKER_HEADER_BYTES_MAX: usize = 1 << 20;
/// Longest body of a frame: the largest piece.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Most ranges in one `have`; a fuller set is sent as several messages, since `have` adds.
pub const HAVE_RANGES_MAX: usize = 2_000;

/// Smallest piece anyone may choose: BEP 3 tools write 16 KiB at the least.
pub const PIECE_BYTES_MIN: u32 = 16 << 10;
/// Largest piece: one body.
pub const PIECE_BYTES_MAX: u32 = 16 << 20;
/// Smallest piece we choose ourselves.
pub const PIECE_BYTES_DEFAULT_MIN: u32 = 64 << 10;
/// Pieces we aim at: the schedule costs `log2(nodes) / pieces` (design, "How good a schedule is").
pub const PIECES_AIMED_AT: u64 = 2_048;
/// Most pieces of a torrent; libtorrent's own limit, 2,097,152.
pub const PIECES_MAX: u32 = 1 << 21;
/// Most files of a torrent: 10 times the largest folders people share.
pub const FILES_MAX: usize = 1_000_000;
/// Largest `.torrent`: 2 million pieces with both hashes and a million names.
pub const TORRENT_BYTES_MAX: usize = 256 << 20;
/// Deepest nesting of a bencoded value; metainfo needs 5.
pub const BENCODE_DEPTH_MAX: usize = 32;
/// Longest component of a path: what Linux file systems take.
pub const PATH_COMPONENT_BYTES_MAX: usize = 255;
/// Deepest folder inside a torrent.
pub const PATH_DEPTH_MAX: usize = 64;
/// Trackers of STA in one torrent: each is a connection that a node keeps.
pub const TRACKERS_MAX: usize = 16;

/// Smallest block, and the size until a rate is known: the unit of BitTorrent clients; below it the header costs more
/// than 1 %.
pub const BLOCK_BYTES_MIN: u32 = 16 << 10;
/// Largest block: what one system call moves well, and one pooled buffer.
pub const BLOCK_BYTES_MAX: u32 = 1 << 20;
/// A block should not hold a link for longer: `have` and `cancel` wait behind it, and a peer that shares its link among ten
/// comes round to each in ten blocks.
pub const BLOCK_LINK_TIME: Duration = Duration::from_millis(12);

/// Bytes asked of one peer and not yet here, at most: 25 Gbit/s over 10 ms.
pub const IN_FLIGHT_BYTES_MAX: u64 = 32 << 20;
/// A piece has no more leaves: so many hashes go ahead of a piece that is passed on.
pub const LEAVES_MAX: u32 = 16;
/// In a torrent of more pieces than this, each is a single leaf: the hashes of leaves are kept for all pieces that are here, half a
/// kibibyte for each, and so many pieces have spread well enough without.
pub const LEAVES_PIECES_MAX: u32 = 1 << 16;
/// Bytes in flight at the least: four small blocks, so that a round trip is never waited out for one.
pub const IN_FLIGHT_BYTES_MIN: u64 = 64 << 10;

/// Received and not yet on disk, beyond which nothing further is read from the network: enough to ride out a pause of
/// the disk of a few milliseconds at full speed, and little beside the 96 MiB a node may use.
pub const DISK_BACKLOG_BYTES_MAX: u64 = 16 << 20;
/// Bytes of buffers kept for later: one backlog.
pub const BUFFERS_IDLE_BYTES_MAX: usize = 16 << 20;

/// A block out of more files than this is read and sent from memory: otherwise each of them is open until it is sent, and goes out by
/// a call of its own.
pub const BODY_FILES_MAX: usize = 8;
/// Files that one store keeps open: a soft limit of 1,024 descriptors serves a dozen torrents and their peers.
pub const FILES_OPEN_MAX: usize = 64;

/// A piece whose files change while it is verified again, so many times in a row, is being written to, and not served.
pub const VERIFY_AGAIN_MAX: usize = 3;

/// Requests of one peer that wait to be served: [`IN_FLIGHT_BYTES_MAX`] in smallest blocks.
pub const REQUESTS_QUEUED_MAX: usize = 2_048;
/// Sessions of one torrent: a few more than any graph the tracker hands out.
pub const PEERS_PER_TORRENT_MAX: usize = 64;
/// Connections that have not said hello yet, per node.
pub const HANDSHAKES_PENDING_MAX: usize = 256;
/// A connection that has not said hello by then is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dial that has not succeeded by then has failed.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The next address of a name is tried when the one before has not answered by then (RFC 8305, section 5).
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);
/// One address has not answered by then: the kernel would try for two minutes.
pub const DIAL_ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
pub const DIAL_ADDRESSES_MAX: usize = 16;
/// Connections that the kernel keeps until they are accepted; more than one swarm dials at once.
pub const LISTEN_BACKLOG: i32 = 1_024;
/// How long accepting pauses when the process or the machine is out of file descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that a connection keeps in the kernel beyond what the network takes at once, at the least: the smallest block. What
/// is in there can no longer be cancelled, and our own requests wait behind it: 13 ms of a tenth of a link of 100 Mbit/s.
pub const UNSENT_BYTES_MIN: u32 = BLOCK_BYTES_MIN;
/// The same at the most. A socket that runs empty makes congestion control that measures rates (BBR) believe in less
/// than there is: with 256 KiB a transfer without limits took a tenth longer.
pub const UNSENT_BYTES_MAX: u32 = 1 << 20;
/// Bytes sent by one call and between two turns of the other tasks: well under a millisecond from memory.
pub const SEND_BYTES_PER_TURN: u64 = 1 << 20;

/// Bytes of a block that must have come before its reader is woken, at the most: half of the largest block, so that one half is
/// read while the other comes.
pub const RECV_WORTH_BYTES_MAX: usize = 512 << 10;

/// Torrents one node may register with a tracker.
pub const TORRENTS_PER_NODE_MAX: usize = 10_000;
/// Pieces of all torrents that one node registers with a tracker: 8 MiB of bits, or 32,000 torrents as we make them.
pub const PIECES_PER_NODE_MAX: u64 = 1 << 26;
/// Leases of one tracker: under 1 GiB, at less than 500 bytes for a complete or an empty node.
pub const LEASES_MAX: usize = 1 << 21;
/// Bytes of the bits of all leases of one tracker whose nodes have some of the pieces and not all: a million leases of as many pieces as we
/// make, or what [`PIECES_PER_NODE_MAX`] allows to thirty-two nodes. A name costs nothing, so that a bound for each node bounds nothing.
pub const LEASE_BITS_BYTES_MAX: u64 = 256 << 20;
/// Of them so many are written down at a time: a piece that is said to be here, in forty bytes, is a quarter of a mebibyte to write.
pub const PERSIST_BITS_BYTES: u64 = 16 << 20;
/// Peers in one message of the tracker.
pub const PEERS_PER_MESSAGE_MAX: usize = 200;
/// Peers of a torrent, beside those connected, of whom is remembered how much moved: more than a rack has machines.
pub const ACCOUNTS_MAX: usize = 4_096;
/// Addresses remembered per torrent; a tracker that names more makes the least reachable be forgotten.
pub const ADDRESSES_PER_TORRENT_MAX: usize = 1_000;
/// Connections of one tracker, if the system lets it open as many files and a third more. When there are so many, the oldest that has not
/// said hello makes room.
pub const TRACKER_CONNECTIONS_MAX: usize = 16_384;
/// Bytes that wait for a tracker's client to read them, beyond which it is dropped: what is said at once to a node in
/// [`TORRENTS_PER_NODE_MAX`] torrents with [`GRAPH_DEGREE`] neighbours in each.
pub const TRACKER_OUTBOX_BYTES_MAX: usize = 16 << 20;
/// Bytes that wait for all clients of a tracker together, beyond which the one is dropped that has taken nothing of its part for longest: eight clients
/// in as many torrents as they may be, or twenty of the longest status answers.
pub const TRACKER_OUTBOXES_BYTES_MAX: usize = 128 << 20;
/// Bytes that wait for a tracker to read them, beyond which a node connects to it anew: all it has, after a reconnection, with
/// every other one of [`PIECES_PER_NODE_MAX`] pieces lacking. It is the node's own memory.
pub const TRACKER_LINK_OUTBOX_BYTES_MAX: usize = 512 << 20;
/// Questions of all clients that a tracker has read and not answered: an answer takes milliseconds, for which every `hello` would wait that
/// comes after it.
pub const TRACKER_QUESTIONS_MAX: usize = 4;
/// Bytes of a `.torrent` file in one message of a tracker: 256 KiB in base64, well inside a header.
pub const TORRENT_CHUNK_BYTES: usize = 192 << 10;
/// A client that in so long takes neither all that is being sent nor 64 KiB of it is dropped.
pub const TRACKER_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What waits for a client that has ended, or was dropped, is out by then, or is not sent: 16 MiB at 2 Mbit/s.
pub const TRACKER_DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// A tracker that was asked for its status and says nothing for so long does not answer.
pub const TRACKER_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows in one message of a status answer: at most 400 bytes each, well inside a header.
pub const STATUS_ROWS_PER_MESSAGE: usize = 1_000;
/// Rows of a whole status answer: at most 400 bytes each, under half of [`TRACKER_OUTBOX_BYTES_MAX`].
pub const STATUS_ROWS_MAX: usize = 16_000;

/// A node that is silent for so long is forgotten: two lost pings, and a reconnection at the longest wait.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(60);
/// Shortest lease anyone may choose: three pings.
pub const LEASE_MIN: Duration = Duration::from_secs(3);
/// Longest lease anyone may choose: a dead node is named to others no longer than that.
pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Neighbours of a node in a torrent, as a tracker aims at: uber/kraken's default, under which a random graph of thousands
/// stays in one piece when a third of them dies at once.
pub const GRAPH_DEGREE: u32 = 10;
/// Neighbours at other sites that a node is to have where its site has enough for the rest: what comes into a site is passed on
/// within it. Biased neighbour selection (Bindal and others 2006) has one at the least; with three a part of the graph is seldom lost.
pub const GRAPH_DEGREE_FAR: usize = 3;
/// Neighbours that a newcomer is given at once. A random graph of so many links a node is in one piece (Fenner and Frieze
/// 1982: two are enough), and with a third of the degree there is room almost everywhere, so that the draw is even.
pub const GRAPH_DEGREE_FIRST: u32 = 3;
/// Neighbours that a node may lack when no pair for it was found, and still be given, when the graph is levelled.
pub const GRAPH_DEGREE_SLACK: usize = 2;
/// Neighbours above what it wants that a node may get from others who come one by one and find everybody full.
pub const GRAPH_DEGREE_CROWD: usize = 6;
/// Nodes of a torrent that are looked at for one message of one of them: a packet holds eight hundred wishes, each for another
/// torrent, and a draw among so many is as good as one among all.
pub const GRAPH_LOOKED_AT_MAX: usize = 1_024;
/// How long newcomers are gathered before the graph is levelled. Until then they have few neighbours, and a swarm of hundreds leaves
/// half of its uplinks idle.
pub const GRAPH_LEVEL_DELAY: Duration = Duration::from_millis(50);
/// How long after a departure a torrent's graph is looked at as a whole: many depart together.
pub const GRAPH_AUDIT_DELAY: Duration = Duration::from_secs(5);
/// How long changes of the registry are gathered before they are written down.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(1);

/// A wish for more neighbours is not granted sooner after the last one: a node waits twice as long before it asks again.
pub const WANT_INTERVAL_MIN: Duration = Duration::from_millis(500);
/// The wait before a tracker is dialled again, the first time; then it doubles.
pub const TRACKER_RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest wait before a tracker is dialled again: a restarted one should know its nodes within half a minute.
pub const TRACKER_RETRY_MAX: Duration = Duration::from_secs(30);
/// A node pings its tracker no more often, however short the lease it was given.
pub const TRACKER_PING_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Messages of one connection that its owner has not handled; then the connection is not read. Enough for a
/// burst of requests, and for blocks to arrive while others are handled.
pub const MESSAGES_UNHANDLED_MAX: usize = 64;
/// Messages that wait to be sent to one peer. A peer that reads so little is dropped.
pub const PEER_QUEUE_MAX: usize = 16 << 10;
/// A peer that was closed must take what was sent before within this time, or twice that if something was under way.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that takes no whole batch, a block at the most, for so long is dropped.
pub const PEER_WRITE_TIMEOUT: Duration = Duration::from_secs(120);
