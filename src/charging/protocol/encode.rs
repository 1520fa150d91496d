//! Packets to bytes.

use super::{Connect, Message, Packet, PacketId, Publish, Qos};

/// Appends a packet.
pub fn encode(packet: &Packet, bytes: &mut Vec<u8>) {
    match packet {
        Packet::Connect(connect) => encode_connect(connect, bytes),
        Packet::ConnAck(present, code) => {
            bytes.extend([0x20, 2, u8::from(*present), *code as u8]);
        }
        Packet::Publish(publish) => encode_publish(publish, bytes),
        Packet::PubAck(id) => acknowledge(0x40, *id, bytes),
        Packet::PubRec(id) => acknowledge(0x50, *id, bytes),
        Packet::PubRel(id) => acknowledge(0x62, *id, bytes),
        Packet::PubComp(id) => acknowledge(0x70, *id, bytes),
        Packet::Subscribe(id, filters) => {
            let size = filters.iter().map(|(filter, _)| 2 + filter.len() + 1).sum::<usize>();
            head(0x82, 2 + size, bytes);
            bytes.extend(id.to_be_bytes());
            for (filter, qos) in filters {
                field(filter.as_bytes(), bytes);
                bytes.push(*qos as u8);
            }
        }
        Packet::SubAck(id, granted) => {
            head(0x90, 2 + granted.len(), bytes);
            bytes.extend(id.to_be_bytes());
            bytes.extend(granted.iter().map(|qos| qos.map_or(0x80, |qos| qos as u8)));
        }
        Packet::Unsubscribe(id, filters) => {
            head(0xA2, 2 + filters.iter().map(|filter| 2 + filter.len()).sum::<usize>(), bytes);
            bytes.extend(id.to_be_bytes());
            filters.iter().for_each(|filter| field(filter.as_bytes(), bytes));
        }
        Packet::UnsubAck(id) => acknowledge(0xB0, *id, bytes),
        Packet::PingReq => bytes.extend([0xC0, 0]),
        Packet::PingResp => bytes.extend([0xD0, 0]),
        Packet::Disconnect => bytes.extend([0xE0, 0]),
    }
}

/// Appends a PUBLISH.
pub fn encode_publish(publish: &Publish, bytes: &mut Vec<u8>) {
    let Publish { message, qos, retain, dup, id } = publish;
    let flags = u8::from(*dup) << 3 | (*qos as u8) << 1 | u8::from(*retain);
    let has_id = *qos > Qos::AtMostOnce;
    head(0x30 | flags, 2 + message.size() + if has_id { 2 } else { 0 }, bytes);
    let Message { bytes: both, topic_bytes } = message;
    field(&both[..*topic_bytes], bytes);
    if has_id {
        bytes.extend_from_slice(&id.to_be_bytes());
    }
    bytes.extend_from_slice(&both[*topic_bytes..]);
}

fn encode_connect(connect: &Connect, bytes: &mut Vec<u8>) {
    let mut body = Vec::new();
    field(b"MQTT", &mut body);
    body.push(connect.level);
    let will = connect.will.as_ref();
    let will_flags =
        will.map_or(0, |(_, qos, retain)| 0x04 | (*qos as u8) << 3 | u8::from(*retain) << 5);
    body.push(
        u8::from(connect.clean) << 1
            | will_flags
            | u8::from(connect.password.is_some()) << 6
            | u8::from(connect.user.is_some()) << 7,
    );
    body.extend(connect.keep_alive_s.to_be_bytes());
    field(connect.client.as_bytes(), &mut body);
    if let Some((message, _, _)) = will {
        field(message.topic().as_bytes(), &mut body);
        field(message.payload(), &mut body);
    }
    connect.user.iter().for_each(|user| field(user.as_bytes(), &mut body));
    connect.password.iter().for_each(|password| field(password, &mut body));
    head(0x10, body.len(), bytes);
    bytes.extend(body);
}

fn acknowledge(first: u8, id: PacketId, bytes: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    bytes.extend_from_slice(&[first, 2, high, low]);
}

/// The first byte, and the length of what follows, seven bits a byte (2.2.3).
fn head(first: u8, mut size: usize, bytes: &mut Vec<u8>) {
    bytes.push(first);
    loop {
        let low = (size & 0x7F) as u8;
        size >>= 7;
        if size == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// A length of two bytes, and so many bytes (1.5.3).
fn field(content: &[u8], bytes: &mut Vec<u8>) {
    debug_assert!(content.len() <= usize::from(u16::MAX), "the caller keeps the limit");
    bytes.extend_from_slice(&(content.len() as u16).to_be_bytes());
    bytes.extend_from_slice(content);
}
