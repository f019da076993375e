use std::collections::BTreeMap;

use bendy::decoding::{Decoder, Object};
use proptest::prelude::*;

use super::{BencodeError, Flaw, Value, Writer, decode};
use crate::model::limits;

/// A value as a tree, which the codec itself never builds.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Dict(BTreeMap<Vec<u8>, Self>),
}

impl Tree {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Int(int) => Self::Int(int),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Value::List(list) => Self::List(list.iter().map(Self::of).collect()),
            Value::Dict(dict) => {
                Self::Dict(dict.iter().map(|(key, v)| (key.to_vec(), Self::of(v))).collect())
            }
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Int(int) => writer.int(*int),
            Self::Bytes(bytes) => writer.bytes(bytes),
            Self::List(items) => writer.list(|w| items.iter().for_each(|item| item.write(w))),
            Self::Dict(entries) => {
                writer.raw(b"d");
                for (key, value) in entries {
                    writer.bytes(key);
                    value.write(writer);
                }
                writer.raw(b"e");
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.into_bytes()
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Tree::Int),
        (-2i64..3).prop_map(Tree::Int),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let key = prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..4);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            prop::collection::btree_map(key, inner, 0..6).prop_map(Tree::Dict),
        ]
    })
}

/// What another implementation makes of the same bytes; `None` if it refuses them, or what we refuse by a bound of our own.
fn oracle(bytes: &[u8]) -> Option<Tree> {
    let mut decoder = Decoder::new(bytes).with_max_depth(limits::BENCODE_DEPTH_MAX);
    let tree = oracle_tree(decoder.next_object().ok()??);
    let after = decoder.next_object();
    tree.filter(|_| matches!(after, Ok(None)))
}

fn oracle_tree(object: Object<'_, '_>) -> Option<Tree> {
    Some(match object {
        Object::Integer(digits) => Tree::Int(digits.parse().ok()?),
        Object::Bytes(bytes) => Tree::Bytes(bytes.to_vec()),
        Object::List(mut list) => {
            let mut items = Vec::new();
            while let Some(item) = list.next_object().ok()? {
                items.push(oracle_tree(item)?);
            }
            Tree::List(items)
        }
        Object::Dict(mut dict) => {
            let mut entries = BTreeMap::new();
            while let Some((key, value)) = dict.next_pair().ok()? {
                entries.insert(key.to_vec(), oracle_tree(value)?);
            }
            Tree::Dict(entries)
        }
    })
}

#[test]
fn what_is_not_canonical_is_refused_where_it_stands() {
    let table: [(&[u8], usize, Flaw); 35] = [
        (b"", 0, Flaw::Truncated),
        (b"i", 1, Flaw::Truncated),
        (b"i12", 3, Flaw::Truncated),
        (b"l", 1, Flaw::Truncated),
        (b"d1:a", 4, Flaw::Truncated),
        (b"5:four", 0, Flaw::Truncated),
        (b"9223372036854775807:", 0, Flaw::Truncated),
        (b"5", 1, Flaw::Truncated),
        (b"e", 0, Flaw::NoValue),
        (b"x", 0, Flaw::NoValue),
        (b"-1:a", 0, Flaw::NoValue),
        (b"l-e", 1, Flaw::NoValue),
        (b"i1e ", 3, Flaw::Trailing),
        (b"lee", 2, Flaw::Trailing),
        (b"i1ei2e", 3, Flaw::Trailing),
        (b"ie", 1, Flaw::NotANumber),
        (b"i-e", 2, Flaw::NotANumber),
        (b"i+1e", 1, Flaw::NotANumber),
        (b"i--1e", 2, Flaw::NotANumber),
        (b"i1.5e", 2, Flaw::NotANumber),
        (b"i 1e", 1, Flaw::NotANumber),
        (b"1e:a", 1, Flaw::NotANumber),
        (b"i00e", 1, Flaw::NotShortest),
        (b"i01e", 1, Flaw::NotShortest),
        (b"i-0e", 1, Flaw::NotShortest),
        (b"i-01e", 1, Flaw::NotShortest),
        (b"01:a", 0, Flaw::NotShortest),
        (b"i9223372036854775808e", 1, Flaw::TooLarge),
        (b"i-9223372036854775809e", 1, Flaw::TooLarge),
        (b"99999999999999999999:a", 0, Flaw::TooLarge),
        (b"di1ei2ee", 1, Flaw::KeyNotString),
        (b"dle1:ae", 1, Flaw::KeyNotString),
        (b"d1:ae", 4, Flaw::NoValueForKey),
        (b"d1:ai1e1:ai2ee", 7, Flaw::DuplicateKey),
        (b"d1:bi1e1:ai2ee", 7, Flaw::UnorderedKeys),
    ];
    for (bytes, at, why) in table {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(decode(bytes), Err(BencodeError { at, why }), "{text}");
    }
}

#[test]
fn keys_are_ordered_by_their_bytes_and_in_each_dictionary_anew() {
    for good in [&b"d0:i0e1:Ai0e1:ai0e2:aai0e1:bd1:ai0eee"[..], b"d1:zld1:ai0eeee"] {
        assert!(decode(good).is_ok(), "{}", String::from_utf8_lossy(good));
    }
    assert!(decode(b"d2:aai0e1:ai0ee").is_err(), "a prefix comes first");
}

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert!(decode(&nested(limits::BENCODE_DEPTH_MAX)).is_ok());
    let at = limits::BENCODE_DEPTH_MAX;
    for depth in [at + 1, 1_000_000] {
        assert_eq!(decode(&nested(depth)), Err(BencodeError { at, why: Flaw::TooDeep }));
    }
}

#[test]
fn a_dictionary_knows_its_exact_bytes() {
    let value = decode(b"d1:ai1e1:bd1:xli1e2:hieee").expect("canonical");
    let inner = value.as_dict().and_then(|dict| dict.get("b")?.as_dict()).expect("there is one");
    assert_eq!(inner.raw(), b"d1:xli1e2:hiee");
    assert_eq!(inner.get("y"), None);
}

#[test]
#[should_panic(expected = "key \"a\" is out of order")]
fn the_writer_refuses_a_key_out_of_order() {
    Writer::default().dict(|dict| {
        dict.key("b").int(1);
        dict.key("a").int(2);
    });
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_us_and_by_others(tree in tree()) {
        let bytes = tree.bytes();
        prop_assert_eq!(&Tree::of(decode(&bytes).expect("canonical")), &tree);
        prop_assert_eq!(oracle(&bytes), Some(tree));
    }

    #[test]
    fn a_damaged_value_is_judged_as_others_judge_it(
        tree in tree(),
        at in any::<prop::sample::Index>(),
        to in prop_oneof![any::<u8>(), prop::sample::select(&b"dlie0123456789:-"[..])],
        cut in prop::bool::weighted(0.2),
    ) {
        let mut bytes = tree.bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes.truncate(if cut { at } else { bytes.len() });
        prop_assert_eq!(decode(&bytes).ok().map(Tree::of), oracle(&bytes), "{:?}", bytes);
    }

    #[test]
    fn random_tokens_are_judged_as_others_judge_them(
        tokens in prop::collection::vec(
            prop::sample::select(vec!["d", "l", "e", "i0e", "i-1e", "i00e", "0:", "1:a", "1:b", "2:ab", "i", "-", "1", ":"]),
            0..14,
        ),
    ) {
        let bytes = tokens.concat().into_bytes();
        let ours = decode(&bytes).ok().map(Tree::of);
        if let Some(tree) = &ours {
            prop_assert_eq!(&tree.bytes(), &bytes, "there is one way to write a value");
        }
        prop_assert_eq!(ours, oracle(&bytes), "{:?}", tokens);
    }
}
