//! Bencode, in its one canonical form (BEP 3): what is read here is written back byte for byte.
//!
//! [`decode`] checks the whole input once, with a stack of at most [`limits::BENCODE_DEPTH_MAX`] entries and no
//! allocation at all; a [`Value`] then walks over the checked bytes. So nothing grows on a stranger's word, whatever
//! lengths and depths the input claims, and every value knows the exact bytes it was read from, which is what an
//! info-hash is taken over.
//!
//! Canonical means: keys in ascending order of their bytes and none twice, no leading zeros, no `-0`, nothing after
//! the value. Integers are those of 64 bits with a sign.

use super::limits;

#[cfg(test)]
mod tests;

/// Why bytes are not canonical bencode, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {why}")]
pub struct BencodeError {
    /// Offset of the byte that is wrong.
    pub at: usize,
    /// What is wrong with it.
    pub why: Flaw,
}

/// What is wrong with bencoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The input ends inside a value: truncated, or a length that is too large.
    #[error("the data ends in the middle of a value (is it cut off?)")]
    Truncated,
    /// Not the first byte of a value.
    #[error("no value starts with this byte")]
    NoValue,
    /// Something follows the value.
    #[error("data follows after the end")]
    Trailing,
    /// An integer or a length without digits, or with other bytes among them.
    #[error("this is not a number")]
    NotANumber,
    /// A leading zero, or a zero with a sign.
    #[error("a number is not written in its shortest form")]
    NotShortest,
    /// A number that does not fit 64 bits with a sign.
    #[error("a number is too large")]
    TooLarge,
    /// A key that is not a string.
    #[error("a key is not a string")]
    KeyNotString,
    /// A key without a value.
    #[error("a key has no value")]
    NoValueForKey,
    /// The same key twice in one dictionary.
    #[error("a key stands twice in one dictionary")]
    DuplicateKey,
    /// A key that is less than the one before it.
    #[error("the keys of a dictionary are not in order")]
    UnorderedKeys,
    /// Deeper than [`limits::BENCODE_DEPTH_MAX`].
    #[error("values are nested deeper than {max}", max = limits::BENCODE_DEPTH_MAX)]
    TooDeep,
}

/// A value inside bytes that were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `i42e`
    Int(i64),
    /// `4:spam`
    Bytes(&'a [u8]),
    /// `l...e`
    List(List<'a>),
    /// `d...e`
    Dict(Dict<'a>),
}

/// A list; its items are read as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a>(&'a [u8]);

/// A dictionary; its entries are read as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dict<'a>(&'a [u8]);

/// Reads the one value that `input` is.
///
/// # Errors
/// If `input` is anything but one canonical value.
pub fn decode(input: &[u8]) -> Result<Value<'_>, BencodeError> {
    let end = check(input)?;
    if end < input.len() {
        return Err(BencodeError { at: end, why: Flaw::Trailing });
    }
    Ok(value_at(input, 0).0)
}

impl<'a> Value<'a> {
    /// The integer this is.
    #[must_use]
    pub const fn as_int(self) -> Option<i64> {
        if let Self::Int(int) = self { Some(int) } else { None }
    }

    /// The string this is.
    #[must_use]
    pub const fn as_bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The list this is.
    #[must_use]
    pub const fn as_list(self) -> Option<List<'a>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The dictionary this is.
    #[must_use]
    pub const fn as_dict(self) -> Option<Dict<'a>> {
        if let Self::Dict(dict) = self { Some(dict) } else { None }
    }
}

impl<'a> List<'a> {
    /// Its items, in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut at = 1;
        std::iter::from_fn(move || {
            let (value, end) = (self.0[at] != b'e').then(|| value_at(self.0, at))?;
            at = end;
            Some(value)
        })
    }
}

impl<'a> Dict<'a> {
    /// Its entries, by ascending key.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut at = 1;
        std::iter::from_fn(move || {
            let (key, end) = (self.0[at] != b'e').then(|| string_at(self.0, at))?;
            let (value, end) = value_at(self.0, end);
            at = end;
            Some((key, value))
        })
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.iter().find(|(k, _)| *k == key.as_bytes()).map(|(_, value)| value)
    }

    /// The exact bytes it was read from, from its `d` to its `e`.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }
}

const CHECKED: &str = "the bytes were checked by decode";

/// The value that starts at `at` of checked bytes, and where it ends.
fn value_at(bytes: &[u8], at: usize) -> (Value<'_>, usize) {
    match bytes[at] {
        b'i' => {
            let (int, end) = number(bytes, at + 1, b'e').expect(CHECKED);
            (Value::Int(int), end)
        }
        b'l' => {
            let end = end_of(bytes, at);
            (Value::List(List(&bytes[at..end])), end)
        }
        b'd' => {
            let end = end_of(bytes, at);
            (Value::Dict(Dict(&bytes[at..end])), end)
        }
        _ => {
            let (string, end) = string_at(bytes, at);
            (Value::Bytes(string), end)
        }
    }
}

fn string_at(bytes: &[u8], at: usize) -> (&[u8], usize) {
    string(bytes, at).expect(CHECKED)
}

/// Where the list or dictionary that starts at `at` of checked bytes ends.
fn end_of(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    loop {
        match bytes[at] {
            b'l' | b'd' => (depth, at) = (depth + 1, at + 1),
            b'e' => (depth, at) = (depth - 1, at + 1),
            b'i' => at = number(bytes, at + 1, b'e').expect(CHECKED).1,
            _ => at = string_at(bytes, at).1,
        }
        if depth == 0 {
            return at;
        }
    }
}

/// A list or dictionary that is not closed yet.
#[derive(Clone, Copy)]
enum Open<'a> {
    List,
    /// A dictionary whose next item is a key greater than this one, or the end.
    Key(Option<&'a [u8]>),
    /// A dictionary whose next item is the value of this key.
    ValueOf(&'a [u8]),
}

/// Checks the value at the start of `input`. Returns where it ends.
fn check(input: &[u8]) -> Result<usize, BencodeError> {
    let mut stack = [Open::List; limits::BENCODE_DEPTH_MAX];
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let flaw = |why| Err(BencodeError { at, why });
        let Some(&first) = input.get(at) else { return flaw(Flaw::Truncated) };
        let inside = depth.checked_sub(1).map(|top| stack[top]);
        match (first, inside) {
            (b'e', Some(Open::List | Open::Key(_))) => (depth, at) = (depth - 1, at + 1),
            (b'e', Some(Open::ValueOf(_))) => return flaw(Flaw::NoValueForKey),
            (_, Some(Open::Key(last))) => {
                let (key, end) = match first {
                    b'0'..=b'9' => string(input, at)?,
                    _ => return flaw(Flaw::KeyNotString),
                };
                match last.map(|last| last.cmp(key)) {
                    Some(std::cmp::Ordering::Equal) => return flaw(Flaw::DuplicateKey),
                    Some(std::cmp::Ordering::Greater) => return flaw(Flaw::UnorderedKeys),
                    _ => (stack[depth - 1], at) = (Open::ValueOf(key), end),
                }
                continue;
            }
            (b'l' | b'd', _) => {
                let Some(slot) = stack.get_mut(depth) else { return flaw(Flaw::TooDeep) };
                *slot = if first == b'l' { Open::List } else { Open::Key(None) };
                (depth, at) = (depth + 1, at + 1);
                continue;
            }
            (b'i', _) => at = number(input, at + 1, b'e')?.1,
            (b'0'..=b'9', _) => at = string(input, at)?.1,
            _ => return flaw(Flaw::NoValue),
        }
        // A value has ended.
        match depth.checked_sub(1).map(|top| &mut stack[top]) {
            None => return Ok(at),
            Some(open) => {
                if let Open::ValueOf(key) = *open {
                    *open = Open::Key(Some(key));
                }
            }
        }
    }
}

/// The string at `at`, and where it ends.
fn string(input: &[u8], at: usize) -> Result<(&[u8], usize), BencodeError> {
    let (len, start) = number(input, at, b':')?;
    // A length that does not fit is longer than the input in any case.
    let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len));
    match end.and_then(|end| Some((input.get(start..end)?, end))) {
        Some(found) => Ok(found),
        None => Err(BencodeError { at, why: Flaw::Truncated }),
    }
}

/// The number at `start`, up to `stop`, and the offset after it.
fn number(input: &[u8], start: usize, stop: u8) -> Result<(i64, usize), BencodeError> {
    let flaw = |at, why| Err(BencodeError { at, why });
    let negative = stop == b'e' && input.get(start) == Some(&b'-');
    let digits = start + usize::from(negative);
    let (mut at, mut value) = (digits, 0_i64);
    loop {
        let digit = match input.get(at) {
            Some(digit @ b'0'..=b'9') => i64::from(digit - b'0'),
            Some(byte) if *byte == stop && at > digits => break,
            Some(_) => return flaw(at, Flaw::NotANumber),
            None => return flaw(at, Flaw::Truncated),
        };
        let digit = if negative { -digit } else { digit };
        match value.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
            Some(more) => (value, at) = (more, at + 1),
            None => return flaw(start, Flaw::TooLarge),
        }
    }
    if input[digits] == b'0' && (negative || at > digits + 1) {
        return flaw(start, Flaw::NotShortest);
    }
    Ok((value, at + 1))
}

/// Writes canonical bencode.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

/// Writes the entries of a dictionary, in ascending order of their keys.
#[derive(Debug)]
pub struct DictWriter<'w> {
    writer: &'w mut Writer,
    last: Option<&'static str>,
}

impl Writer {
    /// The bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Writes an integer.
    pub fn int(&mut self, int: i64) {
        self.0.extend_from_slice(format!("i{int}e").as_bytes());
    }

    /// Writes a string.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Writes a list of what `items` writes.
    pub fn list(&mut self, items: impl FnOnce(&mut Self)) {
        self.0.push(b'l');
        items(self);
        self.0.push(b'e');
    }

    /// Writes a dictionary of what `entries` writes.
    pub fn dict(&mut self, entries: impl FnOnce(&mut DictWriter<'_>)) {
        self.0.push(b'd');
        entries(&mut DictWriter { writer: self, last: None });
        self.0.push(b'e');
    }

    /// Writes a value that is canonical already.
    pub fn raw(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }
}

impl DictWriter<'_> {
    /// Writes `key`; its value is to be written next.
    ///
    /// # Panics
    /// If `key` is not greater than the one before it. Keys are constants, so only a bug does that.
    pub fn key(&mut self, key: &'static str) -> &mut Writer {
        assert!(self.last.is_none_or(|last| last < key), "key {key:?} is out of order");
        self.last = Some(key);
        self.writer.bytes(key);
        self.writer
    }
}
