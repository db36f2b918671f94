//! Pictures: nothing of the camera's metadata is kept, every picture stands upright, and no bomb does harm.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use serde_json::Value;

use super::{bytes_of, contains, download, folder, id, links, service, stored, try_upload, upload};
use crate::support::eventually;

/// Text that must not be in any stored object.
const PLACE: &[u8] = b"52.5163N13.3777E";

/// A picture of 40 × 20 pixels: red at the top left, green at the top right, blue at the bottom.
fn upright() -> DynamicImage {
    RgbImage::from_fn(40, 20, |x, y| match (x < 20, y < 10) {
        (true, true) => Rgb([230, 20, 20]),
        (false, true) => Rgb([20, 230, 20]),
        _ => Rgb([20, 20, 230]),
    })
    .into()
}

/// The picture as a camera stores it that writes this orientation of EXIF.
fn as_stored(orientation: u8) -> DynamicImage {
    let image = upright();
    match orientation {
        1 => image,
        2 => image.fliph(),
        3 => image.rotate180(),
        4 => image.flipv(),
        5 => image.rotate90().fliph(),
        6 => image.rotate270(),
        7 => image.rotate270().fliph(),
        8 => image.rotate90(),
        _ => panic!("no orientation"),
    }
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).expect("a picture");
    out.into_inner()
}

/// EXIF with an orientation and a place.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x02\0".to_vec();
    exif.extend(b"\x12\x01\x03\0\x01\0\0\0");
    exif.extend([orientation, 0, 0, 0]);
    exif.extend(b"\x0e\x01\x02\0");
    exif.extend(u32::try_from(PLACE.len()).expect("small").to_le_bytes());
    exif.extend(38_u32.to_le_bytes());
    exif.extend([0; 4]);
    exif.extend(PLACE);
    exif
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).expect("small");
    [&[0xff, marker][..], &length.to_be_bytes()[..], body].concat()
}

/// A JPEG with a place in EXIF, its thumbnail, XMP, IPTC and a comment, and behind its end.
fn jpeg(orientation: u8) -> Vec<u8> {
    let plain = encode(&as_stored(orientation), ImageFormat::Jpeg);
    let thumbnail = [&b"\xff\xd8"[..], PLACE, b"\xff\xd9"].concat();
    let exif = [&b"Exif\0\0"[..], &exif(orientation), &thumbnail].concat();
    let xmp = [&b"http://ns.adobe.com/xap/1.0/\0<x>"[..], PLACE, b"</x>"].concat();
    let iptc = [&b"Photoshop 3.0\x008BIM\x04\x04\0\0"[..], PLACE].concat();
    [
        &plain[..2],
        &segment(0xe1, &exif),
        &segment(0xe1, &xmp),
        &segment(0xed, &iptc),
        &segment(0xfe, PLACE),
        &plain[2..],
        PLACE,
    ]
    .concat()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                0xedb8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let named = [&kind[..], body].concat();
    let length = u32::try_from(body.len()).expect("small").to_be_bytes();
    [&length[..], &named, &crc(&named).to_be_bytes()].concat()
}

/// A PNG with a place in EXIF and texts, and behind its end.
fn png(orientation: u8) -> Vec<u8> {
    let plain = encode(&as_stored(orientation), ImageFormat::Png);
    let text = [&b"Comment\0"[..], PLACE].concat();
    let international = [&b"XML:com.adobe.xmp\0\0\0\0\0"[..], PLACE].concat();
    // The header is the first chunk: 8 bytes of signature, 25 of the chunk.
    [
        &plain[..33],
        &chunk(b"eXIf", &exif(orientation)),
        &chunk(b"tEXt", &text),
        &chunk(b"iTXt", &international),
        &plain[33..],
        PLACE,
    ]
    .concat()
}

/// A WebP with a place in EXIF and XMP.
fn webp(orientation: u8) -> Vec<u8> {
    let plain = encode(&as_stored(orientation), ImageFormat::WebP);
    let image = as_stored(orientation);
    let part = |kind: &[u8; 4], body: &[u8]| {
        let length = u32::try_from(body.len()).expect("small").to_le_bytes();
        let padding = vec![0; body.len() % 2];
        [&kind[..], &length, body, &padding].concat()
    };
    let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    let header = [
        vec![0x0c, 0, 0, 0],
        side(image.width()),
        side(image.height()),
    ]
    .concat();
    let body = [
        b"WEBP".to_vec(),
        part(b"VP8X", &header),
        plain[12..].to_vec(),
        part(b"EXIF", &exif(orientation)),
        part(b"XMP ", PLACE),
    ]
    .concat();
    part(b"RIFF", &body)
}

/// True if the picture looks like [`upright`].
fn is_upright(bytes: &[u8]) -> bool {
    let image = image::load_from_memory(bytes).expect("a picture").to_rgb8();
    let near = |x: u32, y: u32, wanted: usize| {
        let pixel = image.get_pixel(x, y).0;
        (0..3).all(|channel| (pixel[channel] > 128) == (channel == wanted))
    };
    image.dimensions() == (40, 20) && near(5, 4, 0) && near(34, 4, 1) && near(5, 16, 2)
}

#[tokio::test]
async fn every_orientation_becomes_upright_and_no_place_is_kept() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    for orientation in 1..=8 {
        for (name, bytes) in [
            ("a.jpg", jpeg(orientation)),
            ("a.png", png(orientation)),
            ("a.webp", webp(orientation)),
        ] {
            assert!(contains(&bytes, PLACE));
            let file = upload(&service, &alice, name, &bytes).await;
            assert_eq!(
                (&file["width"], &file["height"]),
                (&40.into(), &20.into()),
                "{name} {orientation}"
            );
            assert!(file["blurhash"].is_string(), "{file}");
            let (headers, received) = bytes_of(&service, &alice, &file).await;
            assert!(
                headers["content-disposition"]
                    .to_str()
                    .expect("text")
                    .starts_with("inline; ")
            );
            assert_eq!(
                headers["content-type"],
                file["mimeType"].as_str().expect("a type")
            );
            assert!(is_upright(&received), "{name} {orientation}");
        }
    }
    eventually("no object has a place", || async {
        let objects = stored(folder.path());
        (!objects.is_empty() && !objects.iter().any(|bytes| contains(bytes, PLACE))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn colours_and_transparency_stay() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let image = RgbaImage::from_fn(600, 300, |x, _| image::Rgba([9, 8, 7, (x % 256) as u8]));
    let plain = encode(&image.clone().into(), ImageFormat::Png);
    let profile = chunk(b"iCCP", b"name\0\0x\x9c\x03\0\0\0\0\x01");
    let bytes = [&plain[..33], &profile, &plain[33..]].concat();
    let file = upload(&service, &alice, "a.png", &bytes).await;
    let (_, received) = bytes_of(&service, &alice, &file).await;
    assert_eq!(received, bytes, "a picture without metadata stays as it is");
    let links = links(&alice, id(&file)).await;
    let link = links["thumbnailUrl"].as_str().expect("a link");
    let response = download(&service, link, &[]).await;
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(
        response.headers()["content-security-policy"],
        "sandbox; default-src 'none'"
    );
    let small =
        image::load_from_memory(&response.bytes().await.expect("bytes")).expect("a picture");
    assert_eq!((small.width(), small.height()), (320, 160));
    assert!(small.color().has_alpha());
}

#[tokio::test]
async fn an_animated_gif_keeps_its_frames_and_loses_its_comments_and_its_tail() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let frames = (0..3).map(|n| {
        let image = RgbaImage::from_pixel(30, 20, image::Rgba([n * 80, 0, 0, 255]));
        image::Frame::new(image)
    });
    let mut plain = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut plain);
    encoder.encode_frames(frames).expect("a picture");
    drop(encoder);
    let colours = 13
        + if plain[10] & 0x80 == 0 {
            0
        } else {
            3 << ((plain[10] & 7) + 1)
        };
    let length = u8::try_from(PLACE.len()).expect("small");
    let comment = [&[0x21, 0xfe, length][..], PLACE, &[0]].concat();
    let script = b"/*<script>alert(1)</script>*/";
    let bytes = [&plain[..colours], &comment, &plain[colours..], script].concat();
    let file = upload(&service, &alice, "a.gif", &bytes).await;
    let (headers, received) = bytes_of(&service, &alice, &file).await;
    assert_eq!(headers["content-type"], "image/gif");
    assert_eq!(received, plain);
}

/// A PNG whose header declares this size, with almost no data.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[8, 6, 0, 0, 0],
    ]
    .concat();
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", b"x\x9c\x03\0\0\0\0\x01"),
        chunk(b"IEND", b""),
    ]
    .concat()
}

/// A GIF whose header and first frame declare this size, with almost no data.
fn gif_of(width: u16, height: u16) -> Vec<u8> {
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    [
        b"GIF89a".to_vec(),
        size.clone(),
        b"\x80\0\0\0\0\0\xff\xff\xff".to_vec(),
        b",\0\0\0\0".to_vec(),
        size,
        b"\0\x02\x02D\x01\0;".to_vec(),
    ]
    .concat()
}

/// Peak memory of this process in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let line = line.expect("the peak").split_whitespace().nth(1);
    line.expect("a number").parse().expect("a number")
}

#[tokio::test]
async fn bombs_become_files_without_a_thumbnail_or_are_refused() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let mut jpeg = encode(&upright(), ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|two| two == [0xff, 0xc0])
        .expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let before = peak();
    for (name, bytes) in [
        ("a.png", png_of(16_384, 16_384)),
        ("a.png", png_of(u32::MAX >> 1, u32::MAX >> 1)),
        ("a.png", png_of(0, 0)),
        ("a.gif", gif_of(65_535, 65_535)),
        ("a.jpg", jpeg),
    ] {
        let (status, answer) = try_upload(&service, &alice, name, &bytes).await;
        if status == 201 {
            assert_eq!(answer["hasThumbnail"], false, "{answer}");
            let (headers, _) = bytes_of(&service, &alice, &answer).await;
            let disposition = headers["content-disposition"].to_str().expect("text");
            assert!(
                disposition.starts_with("attachment; "),
                "it is not shown in place"
            );
        } else {
            assert_eq!(status, 400, "{answer}");
        }
    }
    let grown = peak().saturating_sub(before);
    assert!(grown < 400 * 1024, "the peak grew by {grown} KiB");
}

#[tokio::test]
async fn a_gif_of_many_frames_costs_one_frame_and_its_canvas_does_not_grow() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let one = gif_of(1920, 1080);
    let frame = &one[19..one.len() - 1];
    let mut bytes = one[..19].to_vec();
    for _ in 0..1500 {
        bytes.extend(frame);
    }
    // The last frame lies outside the canvas.
    bytes.extend(b",\xff\xff\xff\xff\xff\xff\xff\xff\0\x02\x02D\x01\0;");
    let (status, answer) = try_upload(&service, &alice, "a.gif", &bytes).await;
    assert!(matches!(status, 201 | 400), "{answer}");
    if status == 201 && answer["width"] != Value::Null {
        assert_eq!(
            (&answer["width"], &answer["height"]),
            (&1920.into(), &1080.into())
        );
    }
}

#[tokio::test]
async fn pictures_that_are_cut_are_refused_once_and_for_all() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    for (name, bytes) in [("a.jpg", jpeg(1)), ("a.png", png(1)), ("a.webp", webp(1))] {
        let cut = &bytes[..bytes.len() / 2];
        let upload = super::begin(&alice, name, cut.len()).await;
        super::pieces(&service, &alice, &upload, cut, 0, super::PIECE).await;
        let (status, error) = super::complete(&service, &alice, &upload).await;
        assert_eq!(status, 400, "{error}");
        let (status, error) = super::complete(&service, &alice, &upload).await;
        assert_eq!(status, 404, "the failure is remembered: {error}");
    }
    eventually("nothing of them is left", || async {
        stored(folder.path()).is_empty().then_some(())
    })
    .await;
}
