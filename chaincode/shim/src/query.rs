//! Reading a range of keys page by page.

use crate::{Stub, StubError};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{QueryResponse, QueryResultBytes, QueryStateClose, QueryStateNext};
use fabric_protos::prost::Message;
use fabric_protos::queryresult::Kv;

/// A key and its committed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// Its value, never empty.
    pub value: Vec<u8>,
}

/// The keys of a range in order. Pages are fetched as they are needed; dropping the iterator early
/// tells the peer that no more are wanted. After an error there is nothing more.
///
/// A peer stops after `ledger.state.totalQueryLimit` keys (100,000 unless configured) without a word.
pub struct RangeIter<'a> {
    stub: &'a Stub,
    page: std::vec::IntoIter<QueryResultBytes>,
    id: String,
    has_more: bool,
}

impl<'a> RangeIter<'a> {
    pub(crate) fn new(stub: &'a Stub, first: QueryResponse) -> Self {
        Self { stub, page: first.results.into_iter(), id: first.id, has_more: first.has_more }
    }

    fn next_page(&mut self) -> Result<(), StubError> {
        // Set again only once the page is there: after a failure the query is gone on the peer too.
        self.has_more = false;
        let request = QueryStateNext { id: self.id.clone() };
        let response: QueryResponse = self.stub.ask_for(Type::QueryStateNext, &request)?;
        if response.results.is_empty() && response.has_more {
            return Err(StubError::Protocol("an empty page in a range that has more".into()));
        }
        self.page = response.results.into_iter();
        self.has_more = response.has_more;
        Ok(())
    }
}

impl Iterator for RangeIter<'_> {
    type Item = Result<KeyValue, StubError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0
            && self.has_more
            && let Err(e) = self.next_page()
        {
            return Some(Err(e));
        }
        let result = self.page.next()?;
        Some(match Kv::decode(result.result_bytes.as_slice()) {
            Ok(kv) => Ok(KeyValue { key: kv.key, value: kv.value }),
            Err(e) => {
                self.page = Vec::new().into_iter();
                Err(StubError::Protocol(format!("a result of a range: {e}")))
            }
        })
    }
}

impl Drop for RangeIter<'_> {
    fn drop(&mut self) {
        // During a panic the call is over, which closes the query on the peer too.
        if self.has_more && !std::thread::panicking() {
            let request = QueryStateClose { id: std::mem::take(&mut self.id) };
            if let Err(e) = self.stub.ask(Type::QueryStateClose, &request) {
                tracing::warn!(tx = self.stub.tx_id(), "cannot close a range: {e}");
            }
        }
    }
}
