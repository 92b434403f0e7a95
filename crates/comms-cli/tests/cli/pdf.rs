//! The document that a new domain and the demo come with is a PDF that others can read.

use std::fs;
use std::process::Command;

use crate::new::library;

const BYTES_MIN: usize = 8 << 20;
const PAGES_MIN: usize = 100;

#[test]
fn the_document_is_whole_by_its_own_table() {
    let (_place, folder) = library();
    let pdf = fs::read(folder.join("report.pdf")).unwrap();
    assert!(pdf.len() >= BYTES_MIN, "{} bytes", pdf.len());
    assert!(pdf.starts_with(b"%PDF-1.") && pdf.ends_with(b"%%EOF"));
    let tail = String::from_utf8_lossy(&pdf[pdf.len() - 64..]).into_owned();
    let table: usize =
        tail.split("startxref").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let text = String::from_utf8_lossy(&pdf[table..]).into_owned();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("xref"));
    let entries: usize = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut pages = 0;
    for (number, line) in lines.by_ref().take(entries).enumerate().skip(1) {
        let offset: usize = line[..10].parse().unwrap();
        let object = &pdf[offset..];
        assert!(
            object.starts_with(format!("{number} 0 obj").as_bytes()),
            "object {number} is not at {offset}"
        );
        let head = String::from_utf8_lossy(&object[..object.len().min(120)]).into_owned();
        pages += usize::from(head.contains("/Type /Page\n"));
    }
    assert!(lines.any(|line| line == "trailer"), "{tail}");
    assert!(pages >= PAGES_MIN, "{pages} pages");
}

#[test]
fn the_document_is_the_same_every_time() {
    let (_first, one) = library();
    let (_second, two) = library();
    let read = |folder: &std::path::Path| fs::read(folder.join("report.pdf")).unwrap();
    assert!(read(&one) == read(&two));
}

/// In addition to what is checked above: where a Python with pypdf is named, it reads every page.
#[test]
fn another_program_reads_every_page() {
    let Some(python) = std::env::var_os("COMMS_PYTHON") else {
        return;
    };
    let has = Command::new(&python).args(["-c", "import pypdf"]).output().unwrap();
    if !has.status.success() {
        return;
    }
    let (_place, folder) = library();
    let program = "import sys, pypdf\n\
        pages = pypdf.PdfReader(sys.argv[1], strict=True).pages\n\
        [page.extract_text().index(f'page {n} of {len(pages)}') for n, page in enumerate(pages, 1)]\n\
        print(len(pages))";
    let read = Command::new(&python).args(["-c", program]).arg(folder.join("report.pdf")).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let pages: usize = String::from_utf8(read.stdout).unwrap().trim().parse().unwrap();
    assert!(pages >= PAGES_MIN);
}
