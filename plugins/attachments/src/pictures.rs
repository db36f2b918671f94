//! Pictures: metadata removed, orientation applied, thumbnail and blurred preview. The work is bounded in pixels, memory and concurrency by its caller.
//!
//! A picture that is too large or cannot be decoded stays as it is, without metadata and without a thumbnail. This module knows no files and no stores.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
    metadata::Orientation,
};

use crate::strip;

/// Width and height in which a thumbnail fits, in pixels.
pub const THUMBNAIL: u32 = 320;
/// Quality of a picture that is turned, out of 100.
const QUALITY: u8 = 92;
/// Quality of a thumbnail, out of 100.
const THUMBNAIL_QUALITY: u8 = 80;
/// Maximum width and height of a picture that is decoded, in pixels.
const MAX_SIDE: u32 = 30_000;
/// Maximum memory for a pixel while a picture is decoded, in bytes.
const BYTES_PER_PIXEL: u64 = 8;
/// Width and height of the picture of which the blurred preview is made.
const BLURRED: u32 = 32;

/// A picture whose metadata was removed.
pub struct Picture {
    /// The bytes to store.
    pub bytes: Vec<u8>,
    /// Facts of the picture, if it was decoded.
    pub decoded: Option<Decoded>,
}

/// Facts of a picture that was decoded.
pub struct Decoded {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Blurred preview as a text.
    pub blurhash: Option<String>,
    /// Thumbnail and its media type.
    pub thumbnail: Option<(Vec<u8>, &'static str)>,
}

/// Facts of a picture that need no pixels.
struct Facts {
    orientation: Orientation,
    profile: Option<Vec<u8>>,
}

/// Removes the metadata of a picture and describes it; `None` if it does not have the form of its type.
///
/// It blocks the thread for the time of decoding.
pub fn treat(kind: &str, bytes: Vec<u8>, max_pixels: u32) -> Option<Picture> {
    let stripped = strip::strip(kind, &bytes)?;
    let format = ImageFormat::from_mime_type(kind)?;
    // A decoder that panics must not be worse than one that fails.
    let treated = catch_unwind(AssertUnwindSafe(|| {
        decode(kind, format, &bytes, &stripped, max_pixels)
    }));
    match treated {
        Ok(Some((turned, decoded))) => Some(Picture {
            bytes: turned.unwrap_or(stripped),
            decoded: Some(decoded),
        }),
        _ => Some(Picture {
            bytes: stripped,
            decoded: None,
        }),
    }
}

fn limits(max_pixels: u32) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(u64::from(max_pixels) * BYTES_PER_PIXEL);
    limits
}

fn reader(bytes: &[u8], format: ImageFormat, max_pixels: u32) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits(max_pixels));
    reader
}

/// Returns the turned picture, if it must be turned, and the facts of the picture.
fn decode(
    kind: &str,
    format: ImageFormat,
    original: &[u8],
    stripped: &[u8],
    max_pixels: u32,
) -> Option<(Option<Vec<u8>>, Decoded)> {
    let mut decoder = reader(original, format, max_pixels).into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > u64::from(max_pixels) {
        return None;
    }
    let is_cmyk = decoder.original_color_type() == ExtendedColorType::Cmyk8;
    let facts = Facts {
        orientation: decoder.orientation().unwrap_or(Orientation::NoTransforms),
        // The profile of printing colours does not fit the decoded ones.
        profile: decoder.icc_profile().ok().flatten().filter(|_| !is_cmyk),
    };
    drop(decoder);
    // `decode` checks the size of the whole picture against the limits, which a decoder of its own does not.
    let mut image = reader(stripped, format, max_pixels).decode().ok()?;
    let is_turned =
        facts.orientation != Orientation::NoTransforms && !strip::is_animated(kind, stripped);
    let turned = if is_turned {
        image.apply_orientation(facts.orientation);
        Some(encode(&image, format, facts.profile)?)
    } else {
        None
    };
    // A small picture is not enlarged.
    let small = if image.width() <= THUMBNAIL && image.height() <= THUMBNAIL {
        image.clone()
    } else {
        image.thumbnail(THUMBNAIL, THUMBNAIL)
    };
    let decoded = Decoded {
        width: image.width(),
        height: image.height(),
        blurhash: blurhash(&small),
        thumbnail: thumbnail(small),
    };
    Some((turned, decoded))
}

fn encode(image: &DynamicImage, format: ImageFormat, profile: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let profile = profile.unwrap_or_default();
    match format {
        ImageFormat::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(&mut out, QUALITY);
            add_profile(&mut encoder, profile);
            image.write_with_encoder(encoder).ok()?;
        }
        ImageFormat::Png => {
            let mut encoder = PngEncoder::new(&mut out);
            add_profile(&mut encoder, profile);
            image.write_with_encoder(encoder).ok()?;
        }
        ImageFormat::WebP => {
            let mut encoder = WebPEncoder::new_lossless(&mut out);
            add_profile(&mut encoder, profile);
            image.write_with_encoder(encoder).ok()?;
        }
        _ => return None,
    }
    Some(out)
}

fn add_profile(encoder: &mut impl ImageEncoder, profile: Vec<u8>) {
    if !profile.is_empty() {
        // An encoder without profiles writes the picture all the same.
        let _ = encoder.set_icc_profile(profile);
    }
}

fn thumbnail(small: DynamicImage) -> Option<(Vec<u8>, &'static str)> {
    let mut out = Vec::new();
    if small.color().has_alpha() {
        let small = DynamicImage::ImageRgba8(small.to_rgba8());
        small.write_with_encoder(PngEncoder::new(&mut out)).ok()?;
        Some((out, "image/png"))
    } else {
        let small = DynamicImage::ImageRgb8(small.to_rgb8());
        let encoder = JpegEncoder::new_with_quality(&mut out, THUMBNAIL_QUALITY);
        small.write_with_encoder(encoder).ok()?;
        Some((out, "image/jpeg"))
    }
}

fn blurhash(small: &DynamicImage) -> Option<String> {
    let tiny = small.thumbnail(BLURRED, BLURRED).to_rgba8();
    let (across, down) = if tiny.width() >= tiny.height() {
        (4, 3)
    } else {
        (3, 4)
    };
    blurhash::encode(across, down, tiny.width(), tiny.height(), tiny.as_raw()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose left half is red and whose right half is blue.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let image = image::RgbImage::from_fn(width, height, |x, _| {
            image::Rgb(if x < width / 2 {
                [255, 0, 0]
            } else {
                [0, 0, 255]
            })
        });
        let mut out = Vec::new();
        let encoder = PngEncoder::new(&mut out);
        image.write_with_encoder(encoder).expect("a picture");
        out
    }

    #[test]
    fn a_picture_gets_a_thumbnail_and_a_preview() {
        let picture = treat("image/png", png(800, 400), 1_000_000).expect("a picture");
        let decoded = picture.decoded.expect("decoded");
        assert_eq!((decoded.width, decoded.height), (800, 400));
        assert!(decoded.blurhash.is_some_and(|text| text.len() > 6));
        let (bytes, kind) = decoded.thumbnail.expect("a thumbnail");
        let small = image::load_from_memory(&bytes).expect("a picture");
        assert_eq!(
            (kind, small.width(), small.height()),
            ("image/jpeg", 320, 160)
        );
    }

    #[test]
    fn a_picture_above_the_limit_is_kept_without_a_thumbnail() {
        let picture = treat("image/png", png(800, 400), 800 * 400 - 1).expect("a picture");
        assert!(picture.decoded.is_none());
        assert!(!picture.bytes.is_empty());
    }
}
