//! From a file to its text: read once, decompressed, decoded; or what the file is instead of a table.

use super::{MAX_BYTES, TableError};
use flate2::read::MultiGzDecoder;
use std::{
    borrow::Cow,
    fs::File,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A file with a table, of which the content is read once, by whichever of its clones is asked first: a pipe has it no
/// second time, and what was checked is what is used afterwards.
#[derive(Clone, Debug)]
pub struct TableFile {
    path: PathBuf,
    content: Arc<Mutex<Option<Content>>>,
}

/// Bytes of which debug output shows no more than the number.
#[derive(Clone)]
struct Content(Arc<Vec<u8>>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl TableFile {
    /// The file of this path, which is not opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), content: Arc::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes as they are in the file.
    ///
    /// # Errors
    /// What the system says; a file that is larger than [`MAX_BYTES`].
    pub(super) fn bytes(&self) -> Result<Arc<Vec<u8>>, TableError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Content(bytes)) = &*content {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(read(&self.path)?);
        *content = Some(Content(bytes.clone()));
        Ok(bytes)
    }
}

impl From<PathBuf> for TableFile {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for TableFile {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TableError> {
    let io = |e: std::io::Error| TableError::Io(e.to_string());
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut bytes = Vec::with_capacity(size.min(MAX_BYTES) as usize + 1);
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// The text of a file, and what had to be done to have it.
pub(super) struct Text<'a> {
    pub text: Cow<'a, str>,
    pub notes: Vec<String>,
}

/// Decompresses and decodes.
pub(super) fn text(bytes: &[u8]) -> Result<Text<'_>, TableError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TableError::TooLarge);
    }
    if !bytes.starts_with(&GZIP) {
        return decode(Cow::Borrowed(bytes), Vec::new());
    }
    let mut plain = Vec::new();
    let unpacked = MultiGzDecoder::new(Cursor::new(bytes)).take(MAX_BYTES + 1).read_to_end(&mut plain);
    unpacked.map_err(|e| TableError::DamagedGzip { reason: e.to_string() })?;
    if plain.len() as u64 > MAX_BYTES {
        return Err(TableError::TooLargeUnpacked);
    }
    if plain.starts_with(&GZIP) {
        return Err(TableError::Other { what: "compressed twice", advice: "decompress it once with gunzip" });
    }
    decode(Cow::Owned(plain), vec!["decompressed (gzip)".into()])
}

fn decode(bytes: Cow<'_, [u8]>, mut notes: Vec<String>) -> Result<Text<'_>, TableError> {
    if let Some((what, advice)) = other_kind(&bytes) {
        return Err(TableError::Other { what, advice });
    }
    if let Some((start, order)) = utf16(&bytes) {
        let text = from_utf16(&bytes[start..], order)?;
        notes.push("decoded from UTF-16".into());
        return Ok(Text { text: checked(Cow::Owned(text))?, notes });
    }
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let bytes = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.strip_prefix(BOM).unwrap_or(bytes)),
        Cow::Owned(mut bytes) => {
            if bytes.starts_with(BOM) {
                bytes.drain(..BOM.len());
            }
            Cow::Owned(bytes)
        }
    };
    let text = match utf8(bytes) {
        Ok(text) => text,
        Err(bytes) => {
            let text = from_windows_1252(&bytes)?;
            notes.push("decoded from Windows-1252 (Latin-1)".into());
            Cow::Owned(text)
        }
    };
    Ok(Text { text: checked(text)?, notes })
}

fn utf8(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Cow<'_, [u8]>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| bytes.into()),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|e| e.into_bytes().into()),
    }
}

/// A NUL is in no text that people write.
fn checked(text: Cow<'_, str>) -> Result<Cow<'_, str>, TableError> {
    match text.bytes().position(|byte| byte == 0) {
        None => Ok(text),
        Some(place) => Err(TableError::NotText { line: line_at(text.as_bytes(), place) }),
    }
}

/// The line of a position, from 1.
pub(super) fn line_at(bytes: &[u8], position: usize) -> u64 {
    let mut lines = Lines::default();
    1 + lines.breaks_before(bytes, position)
}

/// Counts line breaks (LF, CR LF or CR) up to growing positions.
#[derive(Default)]
pub(super) struct Lines {
    position: usize,
    breaks: u64,
}

impl Lines {
    pub fn breaks_before(&mut self, bytes: &[u8], position: usize) -> u64 {
        while self.position < position {
            let is_break = match bytes[self.position] {
                b'\n' => true,
                b'\r' => bytes.get(self.position + 1) != Some(&b'\n'),
                _ => false,
            };
            self.breaks += u64::from(is_break);
            self.position += 1;
        }
        self.breaks
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whether the bytes are UTF-16, where its text begins, and whether the larger byte comes first.
fn utf16(bytes: &[u8]) -> Option<(usize, Order)> {
    match bytes {
        [0xff, 0xfe, ..] => return Some((2, Order::Little)),
        [0xfe, 0xff, ..] => return Some((2, Order::Big)),
        _ => {}
    }
    // Without a mark: cells of Latin text have a zero in every other byte.
    match bytes {
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Some((0, Order::Little)),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Some((0, Order::Big)),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

fn from_utf16(bytes: &[u8], order: Order) -> Result<String, TableError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| match order {
        Order::Little => u16::from_le_bytes(*pair),
        Order::Big => u16::from_be_bytes(*pair),
    });
    let mut text = String::with_capacity(bytes.len() / 2);
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(c) => text.push(c),
            Err(_) => return Err(TableError::NotUtf16 { line: line_at(text.as_bytes(), text.len()) }),
        }
    }
    match rest.is_empty() {
        true => Ok(text),
        false => Err(TableError::NotUtf16 { line: line_at(text.as_bytes(), text.len()) }),
    }
}

/// What is no UTF-8 is Windows-1252, which contains Latin-1, unless some of it is UTF-8 all the same: then it is a damaged
/// file, or one that was put together of several.
fn from_windows_1252(bytes: &[u8]) -> Result<String, TableError> {
    let mut rest = bytes;
    let mut first_wrong = None;
    let mut has_utf8 = false;
    while !rest.is_empty() {
        let (good, wrong) = match std::str::from_utf8(rest) {
            Ok(_) => (rest.len(), 0),
            Err(e) => (e.valid_up_to(), e.error_len().unwrap_or(rest.len() - e.valid_up_to())),
        };
        has_utf8 |= rest[..good].iter().any(|byte| !byte.is_ascii());
        if wrong > 0 && first_wrong.is_none() {
            first_wrong = Some(bytes.len() - rest.len() + good);
        }
        rest = &rest[good + wrong..];
    }
    let not_utf8 = |place: usize| TableError::NotUtf8 { line: line_at(bytes, place) };
    if let Some(place) = first_wrong.filter(|_| has_utf8) {
        return Err(not_utf8(place));
    }
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for (place, byte) in bytes.iter().enumerate() {
        text.push(match byte {
            0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)].ok_or_else(|| not_utf8(place))?,
            byte => char::from(*byte),
        });
    }
    Ok(text)
}

/// The characters 0x80 to 0x9f of Windows-1252, five of which are not used.
#[rustfmt::skip]
const WINDOWS_1252: [Option<char>; 32] = [
    Some('€'), None, Some('‚'), Some('ƒ'), Some('„'), Some('…'), Some('†'), Some('‡'),
    Some('ˆ'), Some('‰'), Some('Š'), Some('‹'), Some('Œ'), None, Some('Ž'), None,
    None, Some('‘'), Some('’'), Some('“'), Some('”'), Some('•'), Some('–'), Some('—'),
    Some('˜'), Some('™'), Some('š'), Some('›'), Some('œ'), None, Some('ž'), Some('Ÿ'),
];

const AS_CSV: &str = "save it as CSV (UTF-8)";
const UNPACK: &str = "unpack it and name the table in it";

/// Files that are known by how they begin, and what is to be done with them.
const KINDS: [(&[u8], &str, &str); 27] = [
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "a workbook of an old Excel (xls)",
        "save the sheet as CSV (UTF-8)",
    ),
    (b"PAR1", "a Parquet file", AS_CSV),
    (b"ARROW1", "an Arrow (Feather) file", AS_CSV),
    (b"FEA1", "a Feather file", AS_CSV),
    (b"ORC", "an ORC file", AS_CSV),
    (b"Obj\x01", "an Avro file", AS_CSV),
    (b"\x89HDF", "an HDF5 file", AS_CSV),
    (b"\x93NUMPY", "a NumPy array", AS_CSV),
    (b"MATLAB 5.0", "a MATLAB file", AS_CSV),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV (UTF-8)"),
    (b"$FL2@(#)", "an SPSS file", AS_CSV),
    (b"$FL3@(#)", "a compressed SPSS file", AS_CSV),
    (b"<stata_dta>", "a Stata file", AS_CSV),
    (b"RDX", "an R data file", AS_CSV),
    (b"\x80\x04\x95", "a Python pickle", AS_CSV),
    (b"\x80\x05\x95", "a Python pickle", AS_CSV),
    (b"BZh", "compressed (bzip2)", "decompress it with bunzip2"),
    (b"\xfd7zXZ\0", "compressed (xz)", "decompress it with unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "decompress it with unzstd"),
    (b"\x04\x22\x4d\x18", "compressed (lz4)", "decompress it with unlz4"),
    (b"\x1f\x9d", "compressed (compress)", "decompress it with uncompress"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"%PDF-", "a PDF document", AS_CSV),
    (b"{\\rtf", "an RTF document", AS_CSV),
    (
        b"version https://git-lfs.github.com",
        "a Git LFS pointer in place of the file",
        "fetch the file itself: git lfs pull",
    ),
    (b"\xff\xfe\0\0", "UTF-32 text", AS_CSV),
];

/// What a file is that is no text of cells.
fn other_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    // A column may be called PAR1.
    let is_name = |start: &[u8]| start.iter().all(u8::is_ascii_alphanumeric);
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\t\r\n".contains(byte);
    let is_binary = || bytes[..bytes.len().min(4096)].iter().any(is_control);
    let begins = |start: &[u8]| bytes.starts_with(start) && (!is_name(start) || is_binary());
    if let Some((_, what, advice)) = KINDS.iter().find(|(start, ..)| begins(start)) {
        return Some((what, advice));
    }
    let has = |what: &[u8]| bytes[..bytes.len().min(4096)].windows(what.len()).any(|part| part == what);
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        let end = &bytes[bytes.len().saturating_sub(65_536)..];
        let lists = |name: &[u8]| end.windows(name.len()).any(|part| part == name) || has(name);
        return Some(match () {
            () if lists(b"xl/work") => ("an Excel workbook (xlsx)", "save the sheet as CSV (UTF-8)"),
            () if has(b"opendocument.spreadsheet") => {
                ("a LibreOffice spreadsheet (ods)", "save the sheet as CSV (UTF-8)")
            }
            () if lists(b".npy") => ("NumPy arrays (npz)", AS_CSV),
            () => ("a zip archive", UNPACK),
        });
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", UNPACK));
    }
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins =
        |word: &str| start.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()));
    if begins("<!doctype html") || begins("<html") {
        return Some(("a web page", "fetch the table itself; the server may have asked for a login"));
    }
    if begins("<?xml") {
        return Some(("an XML document", AS_CSV));
    }
    let second = start.get(1..).unwrap_or_default().trim_ascii_start().first();
    match (start.first(), second) {
        (Some(b'{'), Some(b'"')) | (Some(b'['), Some(b'{' | b'[')) => Some(("a JSON document", AS_CSV)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        text(bytes).map(|found| found.text.into_owned()).unwrap_err().to_string()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let expected = "größe,Ärzte\r\n1,2\r\n";
        let utf16 = |order: fn(u16) -> [u8; 2]| expected.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let latin: Vec<u8> = expected.chars().map(|c| u32::from(c) as u8).collect();
        for bytes in [
            expected.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", expected.as_bytes()].concat(),
            [vec![0xff, 0xfe], utf16(u16::to_le_bytes)].concat(),
            [vec![0xfe, 0xff], utf16(u16::to_be_bytes)].concat(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            latin,
        ] {
            assert_eq!(text(&bytes).unwrap().text, expected, "{bytes:x?}");
            assert_eq!(text(&gzip(&bytes)).unwrap().text, expected, "{bytes:x?} compressed");
        }
        assert_eq!(text(b"a\x80\x9c,1\n").unwrap().text, "a€œ,1\n");
        let twice = [gzip(b"a,b\n"), gzip(b"1,2\n")].concat();
        assert_eq!(text(&twice).unwrap().text, "a,b\n1,2\n");
    }

    #[test]
    fn what_is_no_text_is_named_by_its_line() {
        assert!(error(b"1,2\r\n3,\x81\n").starts_with("line 2 is neither UTF-8 nor"));
        // An umlaut in UTF-8, and one that was cut in two.
        assert!(error(b"1,\xc3\xa4\n3,\xc3\n").starts_with("line 2 is neither UTF-8 nor"));
        assert!(error(b"1,2\n3,\x00\n").starts_with("line 2 has a NUL"));
        assert!(error(b"\xff\xfea\0\n\0b").starts_with("line 2"));
        assert!(error(b"\xff\xfea\0\n\0\x00\xd8").starts_with("line 2"));
    }

    #[test]
    fn other_files_are_called_what_they_are() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, what) in [
            (&b"PK\x03\x04....[Content_Types].xml....xl/workbook.xml"[..], "an Excel workbook (xlsx)"),
            (b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "LibreOffice"),
            (b"PK\x03\x04....data.csv", "a zip archive"),
            (b"PAR1\x15\x04", "a Parquet file"),
            (b"BZh91AY&SY\x01", "bunzip2"),
            (b"\xfd7zXZ\0\0", "unxz"),
            (b"\x28\xb5\x2f\xfd\x04", "unzstd"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
            (b"\n<!DOCTYPE html><html>", "a web page"),
            (b"[{\"age\": 1}]", "a JSON document"),
            (b"{ \"age\": 1}", "a JSON document"),
            (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
            (&tar, "a tar archive"),
        ] {
            for bytes in [bytes.to_vec(), gzip(bytes)] {
                let said = error(&bytes);
                assert!(said.starts_with("this is ") && said.contains(what), "{said}");
            }
        }
        assert!(error(&gzip(&gzip(b"1,2"))).contains("compressed twice"));
        let damaged = &gzip(b"1,2\n3,4\n5,6\n7,8\n")[..20];
        assert!(error(damaged).contains("gzip") && error(damaged).contains("damaged"), "{}", error(damaged));
    }

    #[test]
    fn names_that_begin_like_other_files_are_names() {
        for header in ["PAR1,PAR2", "ORCID,age", "BZh,x", "RDX;a", "PK,x", "{a},b"] {
            let table = format!("{header}\n1,2\n");
            assert_eq!(text(table.as_bytes()).unwrap().text, table);
        }
    }

    #[test]
    fn a_small_file_does_not_become_an_endless_table() {
        let bomb = gzip(&vec![b'1'; MAX_BYTES as usize + 1]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(error(&bomb), "larger than 64 MiB when it is decompressed");
    }

    #[test]
    fn a_pipe_is_read_once_for_all() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"1,2\n").unwrap();
        drop(writer);
        let file = TableFile::new(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
        let again = file.clone();
        assert_eq!((&**file.bytes().unwrap(), &**again.bytes().unwrap()), (&b"1,2\n"[..], &b"1,2\n"[..]));
        assert!(!format!("{file:?}").contains("49"), "{file:?}");
    }
}
