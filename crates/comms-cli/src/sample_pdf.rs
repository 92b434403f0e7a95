//! The document of the demo: a valid PDF of a hundred-odd pages and more than 8 MiB, made on the spot.
//!
//! The same bytes every time and everywhere, so that its CID can be compared with what other programs compute:
//! nothing here depends on a clock or a random source, and a test holds the CID. The pictures are noise, so that
//! the size is real and no compression on the way can flatter a measurement.

use pdf_writer::types::ProcSet;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

/// Pages of the document.
pub(crate) const PAGES: u32 = 120;
/// Pixels along one side of the picture on each page: 120 pictures of 3 bytes per pixel are 8.8 MiB.
const PICTURE_SIDE: i32 = 160;
const PICTURE_BYTES: usize = 160 * 160 * 3;
/// A4 in points.
const PAGE: Rect = Rect { x1: 0.0, y1: 0.0, x2: 595.0, y2: 842.0 };
const MARGIN: f32 = 72.0;
const LINE_HEIGHT: f32 = 16.0;
const LINES: u32 = 16;
/// Any fixed number; it picks which noise is shown.
const SEED: u64 = 0x00c0_ffee;

const SUBJECTS: [&str; 8] = [
    "The archive",
    "Every department",
    "The reading room",
    "A second copy",
    "The catalogue",
    "Our oldest map",
    "The northern branch",
    "This year's index",
];
const VERBS: [&str; 6] = ["received", "kept", "lent out", "described", "repaired", "found again"];
const OBJECTS: [&str; 7] = [
    "more documents than the year before",
    "a shelf of letters in good order",
    "what three readers had asked for",
    "the minutes of forty meetings",
    "one box that nobody had opened",
    "drawings on paper and on film",
    "two thousand and six photographs",
];

/// Makes the document.
pub(crate) fn make() -> Vec<u8> {
    let mut pdf = Pdf::with_capacity(usize::try_from(PAGES).unwrap_or(0) * (PICTURE_BYTES + 4096));
    let mut noise = Noise(SEED);
    let mut next = 1;
    let mut id = move || {
        next += 1;
        Ref::new(next - 1)
    };
    let (catalog, tree, font, info) = (id(), id(), id(), id());
    let pages: Vec<Ref> = (0..PAGES).map(|_| id()).collect();

    pdf.catalog(catalog).pages(tree);
    let kids = pages.iter().copied();
    pdf.pages(tree).kids(kids).count(PAGES.cast_signed());
    pdf.type1_font(font).base_font(Name(b"Helvetica"));
    pdf.document_info(info).title(TextStr("Annual report")).creator(TextStr("comms demo"));

    let mut picture = vec![0; PICTURE_BYTES];
    for (number, &page) in (1..).zip(&pages) {
        let (text, image) = (id(), id());
        let mut writer = pdf.page(page);
        writer.media_box(PAGE).parent(tree).contents(text);
        let mut resources = writer.resources();
        resources.proc_sets([ProcSet::Pdf, ProcSet::Text, ProcSet::ImageColor]);
        resources.fonts().pair(Name(b"F"), font);
        resources.x_objects().pair(Name(b"P"), image);
        resources.finish();
        writer.finish();

        pdf.stream(text, &page_content(number, &mut noise));

        noise.fill(&mut picture);
        let mut samples = pdf.image_xobject(image, &picture);
        samples.width(PICTURE_SIDE).height(PICTURE_SIDE).bits_per_component(8);
        samples.color_space().device_rgb();
        samples.finish();
    }
    pdf.finish()
}

fn page_content(number: u32, noise: &mut Noise) -> Vec<u8> {
    let mut content = Content::new();
    content.begin_text();
    content.set_font(Name(b"F"), 18.0);
    content.next_line(MARGIN, PAGE.y2 - MARGIN);
    content.show(Str(format!("Annual report, page {number} of {PAGES}").as_bytes()));
    content.set_font(Name(b"F"), 11.0);
    content.next_line(0.0, -2.0 * LINE_HEIGHT);
    for _ in 0..LINES {
        let sentence = format!("{} {} {}.", noise.pick(&SUBJECTS), noise.pick(&VERBS), noise.pick(&OBJECTS));
        content.show(Str(sentence.as_bytes()));
        content.next_line(0.0, -LINE_HEIGHT);
    }
    content.end_text();
    content.save_state();
    content.transform([320.0, 0.0, 0.0, 320.0, MARGIN, MARGIN]);
    content.x_object(Name(b"P"));
    content.restore_state();
    content.finish().into_vec()
}

/// SplitMix64: eight lines that give the same numbers for ever.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let index = self.next() % words.len() as u64;
        words[usize::try_from(index).expect("smaller than a length")]
    }
}
