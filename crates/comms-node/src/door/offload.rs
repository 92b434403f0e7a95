//! Byte fields that the domain keeps as content and a sender's program left in its message: put by the door as the library
//! would have, under the same CID, so that one rule holds for whoever sends.

use comms_content::Node;
use comms_domain::Domain;
use comms_msg::ServiceName;
use comms_msg::door::{Refusal, RefusalKind};
use comms_store::Error;

use super::Doors;
use super::check::store_refusal;

/// Byte fields that a door puts of one message. Each costs several syncs, and whoever has more of them can put them beside
/// each other.
const OFFLOADS_MAX: usize = 64;

/// A body without its large byte fields.
pub(super) struct Less {
    pub(super) body: Node,
    /// Where they were, as places in the message.
    pub(super) places: Vec<String>,
}

impl Doors {
    /// The body with links in place of the byte fields that are over the domain's threshold; `None` if there are none.
    /// They are put by `sender`, and durable when this returns.
    pub(super) async fn offload(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        body: &Node,
    ) -> Result<Option<Less>, Refusal> {
        let threshold = usize::try_from(domain.content.threshold).unwrap_or(usize::MAX);
        if body.as_bytes().len() <= threshold {
            return Ok(None);
        }
        let large = body.bytes_over(threshold).map_err(|error| too_many(&error.to_string()))?;
        if large.is_empty() {
            return Ok(None);
        }
        if large.len() > OFFLOADS_MAX {
            return Err(too_many(&format!("{} byte fields over {threshold} bytes", large.len())));
        }
        let mut linked = Vec::with_capacity(large.len());
        for field in large {
            let bytes = body.bytes_of(&field);
            let source = futures::stream::once(async { Ok::<_, Error>(bytes) });
            let staged = self.blocks.stage_file(source).await.map_err(|e| store_refusal(&e))?;
            let cid = staged.file().cid;
            // As over HTTP: recorded before it is kept.
            self.access.grant_put(&cid, sender).await.map_err(|e| store_refusal(&e))?;
            staged.keep().await.map_err(|e| store_refusal(&e))?;
            linked.push((field, cid));
        }
        let places = linked.iter().map(|(field, _)| format!("/content/body{}", field.path())).collect();
        let body = body.with_links(&linked).map_err(|error| {
            Refusal::new(RefusalKind::Internal, format!("/content/body  cannot be linked: {error}"))
        })?;
        Ok(Some(Less { body, places }))
    }
}

fn too_many(what: &str) -> Refusal {
    let message = format!(
        "/content/body  {what}; a door puts at most {OFFLOADS_MAX} of a message: put them yourself (POST /content) and \
         send links"
    );
    Refusal::new(RefusalKind::TooLarge, message)
}
