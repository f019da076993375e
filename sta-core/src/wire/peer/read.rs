//! Reads a message between peers. Its kind stands first in what this code writes, so that the fields can be read as those of
//! the kind at once; what serde makes of a tagged enum keeps every field in memory first, and took three times as long, for
//! every block twice. Others may write the fields in any order: then they are kept until the kind is known.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::{PeerMessage, RejectReason, WireBlock};
use crate::model::bitfield::PieceRange;
use crate::model::ids::{InfoHash, NodeId};
use crate::model::leaves::LeafHashes;

/// The field that says the kind.
const KIND: &str = "t";

/// What follows of a message once its kind is known. A kind of a later version has fields of its own, which are skipped.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Hello,
    Have,
    Coming,
    Leaves,
    Choke,
    Unchoke,
    Get,
    Data,
    Reject,
    Cancel,
    Ping,
    Bye,
    #[serde(other)]
    Unknown,
}

#[derive(serde::Deserialize)]
struct Hello {
    v: u32,
    node: NodeId,
    torrent: InfoHash,
}

#[derive(serde::Deserialize)]
struct Have {
    p: SmallVec<[PieceRange; 2]>,
}

#[derive(serde::Deserialize)]
struct Coming {
    i: u32,
}

#[derive(serde::Deserialize)]
struct Leaves {
    i: u32,
    h: LeafHashes,
}

#[derive(serde::Deserialize)]
struct Numbered {
    id: u64,
    i: u32,
    o: u32,
    n: u32,
}

#[derive(serde::Deserialize)]
struct Reject {
    id: u64,
    why: RejectReason,
}

#[derive(serde::Deserialize)]
struct Cancel {
    id: u64,
}

#[derive(serde::Deserialize)]
struct Bye {
    why: String,
}

impl Kind {
    /// The message of this kind whose other fields are in `rest`.
    fn read<'de, A: MapAccess<'de>>(self, mut rest: A) -> Result<PeerMessage, A::Error> {
        fn fields<'de, T: Deserialize<'de>, A: MapAccess<'de>>(rest: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(rest))
        }
        Ok(match self {
            Self::Hello => {
                let Hello { v, node, torrent } = fields(rest)?;
                PeerMessage::Hello { v, node, torrent }
            }
            Self::Have => PeerMessage::Have { p: fields::<Have, A>(rest)?.p },
            Self::Coming => PeerMessage::Coming { i: fields::<Coming, A>(rest)?.i },
            Self::Leaves => {
                let Leaves { i, h } = fields(rest)?;
                PeerMessage::Leaves { i, h }
            }
            Self::Get => {
                let Numbered { id, i, o, n } = fields(rest)?;
                PeerMessage::Get { id, block: WireBlock { i, o, n } }
            }
            Self::Data => {
                let Numbered { id, i, o, n } = fields(rest)?;
                PeerMessage::Data { id, block: WireBlock { i, o, n } }
            }
            Self::Reject => {
                let Reject { id, why } = fields(rest)?;
                PeerMessage::Reject { id, why }
            }
            Self::Cancel => PeerMessage::Cancel { id: fields::<Cancel, A>(rest)?.id },
            Self::Bye => PeerMessage::Bye { why: fields::<Bye, A>(rest)?.why },
            bare @ (Self::Choke | Self::Unchoke | Self::Ping | Self::Unknown) => {
                while rest.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                match bare {
                    Self::Choke => PeerMessage::Choke,
                    Self::Unchoke => PeerMessage::Unchoke,
                    Self::Ping => PeerMessage::Ping,
                    _ => PeerMessage::Unknown,
                }
            }
        })
    }
}

impl<'de> Deserialize<'de> for PeerMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = PeerMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message with its kind in the field `t`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PeerMessage, A::Error> {
        let mut before = Map::new();
        while let Some(Name(name)) = map.next_key()? {
            if name != KIND {
                before.insert(name.into_owned(), map.next_value()?);
                continue;
            }
            let kind: Kind = map.next_value()?;
            if before.is_empty() {
                return kind.read(map);
            }
            while let Some((Name(name), value)) = map.next_entry::<Name<'_>, Value>()? {
                before.insert(name.into_owned(), value);
            }
            return kind.read(MapDeserializer::new(before.into_iter())).map_err(said);
        }
        Err(A::Error::missing_field(KIND))
    }
}

/// The name of a field, without a copy where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

fn said<E: Error>(error: serde_json::Error) -> E {
    E::custom(error)
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::PeerMessage;
    use crate::model::bitfield::PieceRange;
    use crate::model::leaves::LeafHashes;
    use crate::wire::peer::{RejectReason, WireBlock};

    fn read(text: &str) -> Result<PeerMessage, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_reads_back() {
        let block = WireBlock { i: 1, o: 2, n: u32::MAX };
        let messages = [
            PeerMessage::Hello {
                v: 1,
                node: "a".parse().expect("a name"),
                torrent: "00ff".repeat(10).parse().expect("digits"),
            },
            PeerMessage::Have { p: smallvec![PieceRange(0, 3), PieceRange::one(7)] },
            PeerMessage::Coming { i: 7 },
            PeerMessage::Leaves { i: 7, h: LeafHashes::new(vec![0xFE; 64]) },
            PeerMessage::Choke,
            PeerMessage::Unchoke,
            PeerMessage::Get { id: u64::MAX, block },
            PeerMessage::Data { id: 7, block },
            PeerMessage::Reject { id: 7, why: RejectReason::Elsewhere },
            PeerMessage::Cancel { id: 7 },
            PeerMessage::Ping,
            PeerMessage::Bye { why: "a \"quoted\" reason".into() },
        ];
        for message in messages {
            let text = serde_json::to_string(&message).expect("it serialises");
            assert_eq!(read(&text), Ok(message), "{text}");
        }
    }

    #[test]
    fn fields_may_come_in_any_order_and_with_others() {
        let get = PeerMessage::Get { id: 7, block: WireBlock { i: 1, o: 2, n: 3 } };
        for text in [
            r#"{"t":"get","n":3,"id":7,"i":1,"o":2}"#,
            r#"{"id":7,"i":1,"t":"get","o":2,"n":3}"#,
            r#"{"i":1,"o":2,"n":3,"id":7,"t":"get"}"#,
            r#"{"more":{"t":[1]},"t":"get","id":7,"i":1,"else":"x","o":2,"n":3}"#,
        ] {
            assert_eq!(read(text).as_ref(), Ok(&get), "{text}");
        }
        assert_eq!(read(r#"{"why":["other"],"t":"sing","id":"x"}"#), Ok(PeerMessage::Unknown));
        assert_eq!(read(r#"{"t":"ping","id":"x"}"#), Ok(PeerMessage::Ping));
        let odd = PeerMessage::Reject { id: 1, why: RejectReason::Unknown };
        assert_eq!(read(r#"{"t":"reject","id":1,"why":"rain"}"#), Ok(odd));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "7",
            "[]",
            "{}",
            r#"{"id":1}"#,
            r#"{"t":7}"#,
            r#"{"t":"get","id":1}"#,
            r#"{"t":"get","id":-1,"i":1,"o":2,"n":3}"#,
            r#"{"id":-1,"t":"get","i":1,"o":2,"n":3}"#,
            r#"{"t":"get","id":1,"id":1,"i":1,"o":2,"n":3}"#,
            r#"{"t":"ping""#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
