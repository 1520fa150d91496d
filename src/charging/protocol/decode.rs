//! Bytes to packets, and what is wrong with those that are none.

use super::{Code, Connect, LEVEL, Message, Packet, PacketId, Publish, Qos, topic};
use crate::net::stream::Decode;
use std::fmt;

/// The longest length there is: four bytes of seven bits (2.2.3).
const LENGTH_BYTES_MAX: usize = 4;

/// Why a packet is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

type Parsed<T> = Result<T, Malformed>;

fn wrong<T>(why: &'static str) -> Parsed<T> {
    Err(Malformed(why))
}

/// The limits of a reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    packet_bytes_max: usize,
    levels_max: usize,
}

/// Takes bytes cut anywhere, gives packets. After a malformed one there is nothing more to give:
/// nobody knows where the next one would begin.
#[derive(Debug)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// How much of `bytes` has been given.
    given: usize,
    limits: Limits,
    is_broken: bool,
}

impl Decoder {
    /// Packets of at most so many bytes, topics and filters of at most so many levels.
    pub fn new(packet_bytes_max: usize, levels_max: usize) -> Decoder {
        let limits = Limits { packet_bytes_max, levels_max };
        Decoder { bytes: Vec::new(), given: 0, limits, is_broken: false }
    }

    /// The first byte and the body of the next packet, if all of it is there.
    fn split(&self) -> Parsed<Option<(u8, usize, usize)>> {
        let rest = &self.bytes[self.given..];
        let Some((first, rest)) = rest.split_first() else { return Ok(None) };
        // A packet that cannot be one is refused before its body is waited for.
        check_first(*first)?;
        let mut size = 0;
        for index in 0..LENGTH_BYTES_MAX {
            let Some(byte) = rest.get(index) else { return Ok(None) };
            size |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 != 0 {
                continue;
            }
            let head = 2 + index;
            if head + size > self.limits.packet_bytes_max {
                return wrong("the packet is too long");
            }
            let start = self.given + head;
            return Ok((rest.len() > index + size).then_some((*first, start, start + size)));
        }
        wrong("the length has more than four bytes")
    }

    fn step(&mut self) -> Parsed<Option<Packet>> {
        let Some((first, start, end)) = self.split()? else { return Ok(None) };
        let packet = parse(first, &self.bytes[start..end], self.limits)?;
        self.given = end;
        Ok(Some(packet))
    }
}

impl Decode for Decoder {
    type Message = Result<Packet, Malformed>;

    fn feed(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        self.bytes.drain(..self.given);
        self.given = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Result<Packet, Malformed>> {
        if self.is_broken {
            return None;
        }
        let outcome = self.step().transpose();
        if let Some(Err(_)) = outcome {
            self.is_broken = true;
            self.bytes = Vec::new();
        }
        if self.given == self.bytes.len() {
            // A large packet's room is not kept for small ones.
            self.bytes.clear();
            self.bytes.shrink_to(crate::net::limits::LINK_READ_BYTES_MAX);
            self.given = 0;
        }
        outcome
    }
}

/// The flags that each type has (2.2.2) \[MQTT-2.2.2-2\].
fn check_first(first: u8) -> Parsed<()> {
    match (first >> 4, first & 0x0F) {
        (0 | 15, _) => wrong("the type is reserved"),
        (3, flags) if flags & 0x06 == 0x06 => wrong("there is no QoS 3"),
        // [MQTT-3.3.1-2]
        (3, flags) if flags & 0x0E == 0x08 => wrong("a repetition with QoS 0"),
        (3, _) | (6 | 8 | 10, 0x02) => Ok(()),
        (6 | 8 | 10, _) => wrong("its flags are reserved"),
        (_, 0) => Ok(()),
        _ => wrong("its flags are reserved"),
    }
}

fn parse(first: u8, body: &[u8], limits: Limits) -> Parsed<Packet> {
    let mut body = Body { rest: body, limits };
    let packet = match first >> 4 {
        1 => Packet::Connect(Box::new(connect(&mut body)?)),
        2 => conn_ack(&mut body)?,
        3 => return publish(first, body),
        4 => Packet::PubAck(body.id()?),
        5 => Packet::PubRec(body.id()?),
        6 => Packet::PubRel(body.id()?),
        7 => Packet::PubComp(body.id()?),
        8 => Packet::Subscribe(body.id()?, body.list(Body::wish)?),
        9 => Packet::SubAck(body.id()?, body.list(Body::grant)?),
        10 => Packet::Unsubscribe(body.id()?, body.list(Body::filter)?),
        11 => Packet::UnsubAck(body.id()?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect,
        _ => return wrong("the type is reserved"),
    };
    if body.rest.is_empty() { Ok(packet) } else { wrong("more bytes than it has fields") }
}

/// 3.1.
fn connect(body: &mut Body<'_>) -> Parsed<Connect> {
    let protocol = body.field()?;
    let level = body.byte()?;
    if level != LEVEL && (protocol == b"MQTT" || protocol == b"MQIsdp") {
        // Its fields are others; it is told that we do not know them \[MQTT-3.1.2-2\].
        body.rest = &[];
        return Ok(Connect::new(level, String::new()));
    }
    if protocol != b"MQTT" {
        return wrong("the protocol is not MQTT");
    }
    let flags = body.byte()?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    let qos = Qos::from_bits(flags >> 3 & 0x03).ok_or(Malformed("there is no QoS 3"))?;
    if has(0) {
        return wrong("a reserved flag is set");
    }
    if !has(2) && flags & 0x38 != 0 {
        return wrong("a will's flags without a will");
    }
    if has(6) && !has(7) {
        return wrong("a password without a user name");
    }
    let keep_alive_s = body.number()?;
    let client = body.text()?.to_owned();
    let mut will = None;
    if has(2) {
        let topic = body.name()?;
        will = Some((Message::new(topic, body.field()?), qos, has(5)));
    }
    let user = if has(7) { Some(body.text()?.to_owned()) } else { None };
    let password = if has(6) { Some(body.field()?.to_vec()) } else { None };
    Ok(Connect { level, clean: has(1), keep_alive_s, client, will, user, password })
}

/// 3.2.
fn conn_ack(body: &mut Body<'_>) -> Parsed<Packet> {
    let present = match body.byte()? {
        0 => false,
        1 => true,
        _ => return wrong("a reserved flag is set"),
    };
    let code = Code::from_byte(body.byte()?).ok_or(Malformed("the code is reserved"))?;
    if present && code != Code::Accepted {
        // [MQTT-3.2.2-4]
        return wrong("a session for one who is refused");
    }
    Ok(Packet::ConnAck(present, code))
}

/// 3.3. The payload is what is left.
fn publish(first: u8, mut body: Body<'_>) -> Parsed<Packet> {
    let qos = Qos::from_bits(first >> 1 & 0x03).ok_or(Malformed("there is no QoS 3"))?;
    let topic = body.name()?;
    let id = if qos > Qos::AtMostOnce { body.id()? } else { 0 };
    let message = Message::new(topic, body.rest);
    let (retain, dup) = (first & 0x01 != 0, first & 0x08 != 0);
    Ok(Packet::Publish(Publish { message, qos, retain, dup, id }))
}

/// What is left of a packet's body.
struct Body<'a> {
    rest: &'a [u8],
    limits: Limits,
}

impl<'a> Body<'a> {
    fn take(&mut self, size: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(size).ok_or(Malformed("it ends in a field"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Parsed<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Parsed<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn id(&mut self) -> Parsed<PacketId> {
        match self.number()? {
            0 => wrong("a packet's id is 0"),
            id => Ok(id),
        }
    }

    fn field(&mut self) -> Parsed<&'a [u8]> {
        let size = self.number()?;
        self.take(usize::from(size))
    }

    /// \[MQTT-1.5.3-1, MQTT-1.5.3-2\]
    fn text(&mut self) -> Parsed<&'a str> {
        let text = std::str::from_utf8(self.field()?).map_err(|_| Malformed("no UTF-8"))?;
        if text.contains('\0') { wrong("a NUL in a text") } else { Ok(text) }
    }

    fn name(&mut self) -> Parsed<&'a str> {
        let text = self.text()?;
        if !topic::is_name(text) {
            return wrong("not a topic's name");
        }
        self.within_levels(text)
    }

    fn filter(&mut self) -> Parsed<String> {
        let text = self.text()?;
        if !topic::is_filter(text) {
            return wrong("not a topic filter");
        }
        self.within_levels(text).map(str::to_owned)
    }

    fn within_levels(&self, text: &'a str) -> Parsed<&'a str> {
        let slashes = text.bytes().filter(|byte| *byte == b'/').count();
        if slashes >= self.limits.levels_max { wrong("too many topic levels") } else { Ok(text) }
    }

    fn wish(&mut self) -> Parsed<(String, Qos)> {
        let filter = self.filter()?;
        let qos = Qos::from_bits(self.byte()?).ok_or(Malformed("not a QoS"))?;
        Ok((filter, qos))
    }

    fn grant(&mut self) -> Parsed<Option<Qos>> {
        match self.byte()? {
            0x80 => Ok(None),
            byte => Qos::from_bits(byte).map(Some).ok_or(Malformed("not a QoS")),
        }
    }

    /// At least one, to the end of the packet.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while !self.rest.is_empty() {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
