//! A CID in bytes and in text: what is read is written back the same, and every text of it is the same CID.
#![no_main]

use comms_content::Cid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(cid) = Cid::from_bytes(data) {
        assert_eq!(cid.to_bytes(), data);
        assert_eq!(cid.encoded_len(), data.len());
        assert_eq!(cid.to_string().parse::<Cid>().as_ref(), Ok(&cid));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(cid) = text.parse::<Cid>()
    {
        assert_eq!(Cid::from_bytes(&cid.to_bytes()).as_ref(), Ok(&cid));
        assert_eq!(cid.to_string().parse::<Cid>().as_ref(), Ok(&cid));
    }
});
