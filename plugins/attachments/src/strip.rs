//! Removal of all metadata from pictures, without a change of a pixel: only the parts that are needed to show a picture are copied.
//!
//! Unknown parts are left out, so that no list of metadata has to be complete. Everything behind the end of the picture is left out too. These functions
//! allocate no more than the size of their input.

/// Returns the picture without metadata; `None` if it does not have the form of its type or is cut.
pub fn strip(kind: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind {
        "image/jpeg" => jpeg(bytes),
        "image/png" => png(bytes),
        "image/gif" => gif(bytes),
        "image/webp" => webp(bytes),
        _ => None,
    }
}

/// Returns true if a picture has more than one frame, as far as its parts tell.
pub fn is_animated(kind: &str, bytes: &[u8]) -> bool {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    match kind {
        "image/png" => has(b"acTL"),
        "image/webp" => has(b"ANMF"),
        "image/gif" => true,
        _ => false,
    }
}

fn jpeg(bytes: &[u8]) -> Option<Vec<u8>> {
    const START: [u8; 2] = [0xff, 0xd8];
    if !bytes.starts_with(&START) {
        return None;
    }
    let mut out = START.to_vec();
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        // A marker may be preceded by any number of fill bytes.
        while *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        let marker = bytes[at + 1];
        at += 2;
        match marker {
            0xd9 => {
                out.extend([0xff, marker]);
                return Some(out);
            }
            0x01 | 0xd0..=0xd7 => {
                out.extend([0xff, marker]);
                continue;
            }
            0x00 | 0xd8 => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let segment = bytes.get(at..at + length).filter(|_| length >= 2)?;
        at += length;
        let body = &segment[2..];
        match marker {
            // The picture inside JFIF is left out.
            0xe0 if body.starts_with(b"JFIF\0") && body.len() >= 14 => {
                out.extend([0xff, marker, 0, 16]);
                out.extend(&body[..12]);
                out.extend([0, 0]);
            }
            0xe2 if body.starts_with(b"ICC_PROFILE\0") => copy_segment(&mut out, marker, segment),
            0xee if body.starts_with(b"Adobe") => copy_segment(&mut out, marker, segment),
            0xe0..=0xfe => {}
            _ => copy_segment(&mut out, marker, segment),
        }
        if marker == 0xda {
            let end = end_of_scan(bytes, at)?;
            out.extend(&bytes[at..end]);
            at = end;
        }
    }
}

fn copy_segment(out: &mut Vec<u8>, marker: u8, segment: &[u8]) {
    out.extend([0xff, marker]);
    out.extend(segment);
}

/// Returns the position of the marker that ends the compressed data at `at`.
fn end_of_scan(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        if *bytes.get(at)? != 0xff {
            at += 1;
            continue;
        }
        match *bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

fn png(bytes: &[u8]) -> Option<Vec<u8>> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    const KEPT: &[&[u8; 4]] = &[
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT",
        b"bKGD", b"pHYs", b"cICP", b"acTL", b"fcTL", b"fdAT",
    ];
    if !bytes.starts_with(SIGNATURE) {
        return None;
    }
    let mut out = SIGNATURE.to_vec();
    let mut at = SIGNATURE.len();
    loop {
        let length = usize::try_from(u32::from_be_bytes(word(bytes, at)?)).ok()?;
        let kind = word(bytes, at + 4)?;
        let end = at.checked_add(12)?.checked_add(length)?;
        let chunk = bytes.get(at..end)?;
        if KEPT.contains(&&kind) {
            out.extend(chunk);
        }
        if &kind == b"IEND" {
            return Some(out);
        }
        at = end;
    }
}

/// Returns the four bytes at `at`.
fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok()
}

fn gif(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"GIF87a") && !bytes.starts_with(b"GIF89a") {
        return None;
    }
    let mut at = 13 + color_table(*bytes.get(10)?);
    let mut out = bytes.get(..at)?.to_vec();
    loop {
        let start = at;
        match *bytes.get(at)? {
            0x3b => {
                out.push(0x3b);
                return Some(out);
            }
            0x2c => {
                // Position, size and flags, the colours, and the size of codes.
                at += 10 + color_table(*bytes.get(at + 9)?) + 1;
                at = end_of_blocks(bytes, at)?;
                out.extend(bytes.get(start..at)?);
            }
            0x21 => {
                let label = *bytes.get(at + 1)?;
                let name = bytes.get(at + 3..at + 14).unwrap_or_default();
                at = end_of_blocks(bytes, at + 2)?;
                let is_loop = label == 0xff && (name == b"NETSCAPE2.0" || name == b"ANIMEXTS1.0");
                if label == 0xf9 || is_loop {
                    out.extend(bytes.get(start..at)?);
                }
            }
            _ => return None,
        }
    }
}

/// Returns the size of the table of colours that the flags announce.
fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Returns the position behind the blocks at `at`.
fn end_of_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

fn webp(bytes: &[u8]) -> Option<Vec<u8>> {
    const KEPT: &[&[u8; 4]] = &[
        b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP",
    ];
    /// Flags of EXIF and XMP.
    const METADATA: u8 = 0x0c;
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12)? != b"WEBP" {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(word(bytes, 4)?)).ok()?;
    let end = length.checked_add(8)?;
    let bytes = bytes.get(..end)?;
    let mut out = bytes[..12].to_vec();
    let mut at = 12;
    while at < end {
        let kind = word(bytes, at)?;
        let length = usize::try_from(u32::from_le_bytes(word(bytes, at + 4)?)).ok()?;
        let next = at
            .checked_add(8)?
            .checked_add(length)?
            .checked_add(length % 2)?;
        let chunk = bytes.get(at..next)?;
        if KEPT.contains(&&kind) {
            let start = out.len();
            out.extend(chunk);
            if &kind == b"VP8X"
                && let Some(flags) = out.get_mut(start + 8)
            {
                *flags &= !METADATA;
            }
        }
        at = next;
    }
    let length = u32::try_from(out.len() - 8).ok()?;
    out[4..8].copy_from_slice(&length.to_le_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_cut_anywhere_are_no_picture_and_never_panic() {
        let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xfe\x03GPS\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;PK";
        let stripped = strip("image/gif", gif).expect("a picture");
        assert!(!stripped.windows(3).any(|window| window == b"GPS"));
        assert!(stripped.ends_with(b";"));
        for end in 0..gif.len() - 3 {
            assert!(strip("image/gif", &gif[..end]).is_none(), "{end}");
        }
        for kind in ["image/jpeg", "image/png", "image/webp"] {
            for start in [
                &b"\xff\xd8\xff\xe1\0\x01"[..],
                b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT",
                b"RIFF\xff\xff\xff\xffWEBPVP8X",
            ] {
                assert!(strip(kind, start).is_none());
            }
        }
    }
}
