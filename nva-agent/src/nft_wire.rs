//! The few nfnetlink messages that renew a set's elements, byte by byte.
//!
//! Layout and numbers: `include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h`. Built here and not
//! by `nft`, because a child that is slow to start could renew a lease after its parent was
//! killed; a message that is sent has taken effect when `send` returns.

use std::time::Duration;

/// Address families of nftables tables (`NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// ARP.
    Arp = 3,
}

const SUBSYSTEM_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM_NFTABLES << 8;
const DELETE_TABLE: u16 = (SUBSYSTEM_NFTABLES << 8) | 2;
const NEW_ELEMENT: u16 = (SUBSYSTEM_NFTABLES << 8) | 12;
const DELETE_ELEMENT: u16 = (SUBSYSTEM_NFTABLES << 8) | 14;

const REQUEST: u16 = 0x1;
const CREATE: u16 = 0x400;
const NESTED: u16 = 0x8000;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;

/// A transaction: all of its messages take effect at one instant, or none does.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let mut batch = Batch { bytes: Vec::new(), sequence: 0 };
        batch.message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM_NFTABLES, &[]);
        batch
    }

    /// Puts `key` into a set of a table, whether it is there or not; for `timeout`, or for good.
    ///
    /// An element that exists is not extended by adding it again, and deleting one that does not
    /// exist fails: so add, delete, add.
    pub(crate) fn renew(
        &mut self,
        family: Family,
        table: &str,
        set: &str,
        key: &[u8],
        timeout: Option<Duration>,
    ) {
        self.remove(family, table, set, key);
        self.element(NEW_ELEMENT, family, table, set, key, timeout);
    }

    /// Takes `key` out of a set, whether it is there or not.
    pub(crate) fn remove(&mut self, family: Family, table: &str, set: &str, key: &[u8]) {
        self.element(NEW_ELEMENT, family, table, set, key, None);
        self.element(DELETE_ELEMENT, family, table, set, key, None);
    }

    /// Removes a table with everything in it, whether it is there or not.
    pub(crate) fn drop_table(&mut self, family: Family, table: &str) {
        // NFTA_TABLE_NAME.
        let body = attribute(1, &text(table));
        self.message(NEW_TABLE, REQUEST | CREATE, family as u8, 0, &body);
        self.message(DELETE_TABLE, REQUEST, family as u8, 0, &body);
    }

    /// The bytes to send, all at once. No message asks for an acknowledgement: the kernel answers
    /// those that fail, and a thousand acknowledgements would not fit the socket's buffer.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.message(BATCH_END, REQUEST, 0, SUBSYSTEM_NFTABLES, &[]);
        self.bytes
    }

    fn element(
        &mut self,
        kind: u16,
        family: Family,
        table: &str,
        set: &str,
        key: &[u8],
        timeout: Option<Duration>,
    ) {
        // NFTA_SET_ELEM_KEY { NFTA_DATA_VALUE }, NFTA_SET_ELEM_TIMEOUT in ms, big-endian.
        let mut element = attribute(1 | NESTED, &attribute(1, key));
        if let Some(timeout) = timeout {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            element.extend(attribute(4, &millis.to_be_bytes()));
        }
        // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS { NFTA_LIST_ELEM }.
        let mut body = attribute(1, &text(table));
        body.extend(attribute(2, &text(set)));
        body.extend(attribute(3 | NESTED, &attribute(1 | NESTED, &element)));
        let flags = if kind == NEW_ELEMENT { REQUEST | CREATE } else { REQUEST };
        self.message(kind, flags, family as u8, 0, &body);
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: &[u8]) {
        self.sequence += 1;
        // struct nlmsghdr, then struct nfgenmsg (4 bytes). Bodies are multiples of four.
        let length = HEADER + 4 + body.len();
        self.bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(body);
    }
}

/// The first error number in what the kernel answered; `None` when there is none.
pub(crate) fn first_error(mut answer: &[u8]) -> Option<i32> {
    while let Some((length, kind)) = header(answer) {
        // A length of zero must not loop.
        let length = length.max(HEADER);
        if kind == NLMSG_ERROR {
            let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
            match code.map(i32::from_ne_bytes) {
                Some(0) | None => {}
                Some(code) => return Some(-code),
            }
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn header(answer: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(answer.get(..4)?.try_into().ok()?);
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    Some((usize::try_from(length).ok()?, kind))
}

/// A netlink attribute, padded to four bytes. Everything here is far below 64 KiB.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_framed_and_aligned() {
        let mut batch = Batch::new();
        let timeout = Some(Duration::from_millis(2_900));
        batch.renew(Family::Inet, "pointsman-fw-a", "live4", &[10, 9, 0, 99], timeout);
        let bytes = batch.finish();
        let mut kinds = Vec::new();
        let mut rest = &bytes[..];
        while let Some((length, kind)) = header(rest) {
            assert_eq!(length % 4, 0);
            kinds.push(kind);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(kinds, [BATCH_BEGIN, NEW_ELEMENT, DELETE_ELEMENT, NEW_ELEMENT, BATCH_END]);
        assert!(bytes.windows(8).any(|window| window == 2_900_u64.to_be_bytes()));
    }

    #[test]
    fn the_first_error_of_an_answer_is_found_and_garbage_is_not_fatal() {
        let message = |code: i32| {
            let mut bytes = 36_u32.to_ne_bytes().to_vec();
            bytes.extend(NLMSG_ERROR.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(code.to_ne_bytes());
            bytes.extend([0; 16]);
            bytes
        };
        assert_eq!(first_error(&message(0)), None);
        assert_eq!(first_error(&[message(0), message(-2), message(-17)].concat()), Some(2));
        for length in 0..36 {
            assert_eq!(first_error(&message(-2)[..length]).is_some(), length >= 20, "{length}");
        }
        assert_eq!(first_error(&[0; 64]), None, "a length of zero does not loop");
    }
}
