//! What ranges and histories answer: page by page behind an iterator, or one page by bookmark.

use crate::invocation::Timestamp;
use crate::link::Link;
use crate::{StubError, link};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{
    GetHistoryForKey, GetStateByRange, QueryMetadata, QueryResponse, QueryResponseMetadata, QueryResultBytes,
    QueryStateClose, QueryStateNext,
};
use fabric_protos::prost::Message;
use fabric_protos::queryresult;

/// A key and its committed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// Its value, never empty.
    pub value: Vec<u8>,
}

/// A change in a key's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyModification {
    /// The transaction that made it.
    pub tx_id: String,
    /// What was written; none for a deletion.
    pub value: Option<Vec<u8>>,
    /// When that transaction's client says that it was proposed.
    pub timestamp: Timestamp,
}

/// A page of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys in order with their values.
    pub results: Vec<KeyValue>,
    /// How many results the peer says that there are.
    pub fetched_records_count: u32,
    /// Where the next page begins, to be given for it; empty after the last page.
    pub bookmark: String,
}

/// The results of a query in order. They are fetched as they are needed; dropping the iterator early
/// tells the peer that no more are wanted. After an error there is nothing more.
///
/// A peer stops after `ledger.state.totalQueryLimit` results (100,000 unless configured) without a word.
pub struct QueryIter<'a, T> {
    link: &'a Link,
    parse: fn(&[u8]) -> Result<T, String>,
    page: std::vec::IntoIter<QueryResultBytes>,
    id: String,
    has_more: bool,
}

impl<'a, T> QueryIter<'a, T> {
    fn new(link: &'a Link, parse: fn(&[u8]) -> Result<T, String>, first: QueryResponse) -> Self {
        Self { link, parse, page: first.results.into_iter(), id: first.id, has_more: first.has_more }
    }

    fn next_page(&mut self) -> Result<(), StubError> {
        // Set again only once the page is there: after a failure the query is gone on the peer too.
        self.has_more = false;
        let request = QueryStateNext { id: self.id.clone() };
        let response: QueryResponse = self.link.ask_for(Type::QueryStateNext, &request)?;
        if response.results.is_empty() && response.has_more {
            return Err(StubError::Protocol("an empty page in a query that has more".into()));
        }
        self.page = response.results.into_iter();
        self.has_more = response.has_more;
        Ok(())
    }
}

impl<T> Iterator for QueryIter<'_, T> {
    type Item = Result<T, StubError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0
            && self.has_more
            && let Err(e) = self.next_page()
        {
            return Some(Err(e));
        }
        let result = self.page.next()?;
        let parsed = (self.parse)(&result.result_bytes);
        Some(parsed.map_err(|e| {
            self.page = Vec::new().into_iter();
            self.close();
            StubError::Protocol(format!("a result of a query: {e}"))
        }))
    }
}

impl<T> QueryIter<'_, T> {
    fn close(&mut self) {
        if std::mem::take(&mut self.has_more) {
            let request = QueryStateClose { id: std::mem::take(&mut self.id) };
            if let Err(e) = self.link.ask(Type::QueryStateClose, &request) {
                tracing::warn!(tx = self.link.tx_id(), "cannot close a query: {e}");
            }
        }
    }
}

impl<T> Drop for QueryIter<'_, T> {
    fn drop(&mut self) {
        // During a panic the call is over, which closes the query on the peer too.
        if !std::thread::panicking() {
            self.close();
        }
    }
}

/// The keys from `start`, included, to `end`, excluded.
pub(crate) fn range<'a>(
    link: &'a Link,
    collection: &str,
    (start, end): (&str, &str),
) -> Result<QueryIter<'a, KeyValue>, StubError> {
    let request = GetStateByRange {
        start_key: start.into(),
        end_key: end.into(),
        collection: collection.into(),
        metadata: Vec::new(),
    };
    Ok(QueryIter::new(link, key_value, link.ask_for(Type::GetStateByRange, &request)?))
}

/// At most `page_size` keys of a range, from the bookmark on.
pub(crate) fn page(
    link: &Link,
    (start, end): (&str, &str),
    page_size: u32,
    bookmark: &str,
) -> Result<Page, StubError> {
    // Without a size the peer would not take the query for one by pages.
    let page_size = i32::try_from(page_size).ok().filter(|&size| size > 0).ok_or(StubError::PageSize)?;
    // The peer begins at the bookmark whatever the range, and who calls may have chosen it.
    let within = bookmark >= start && (end.is_empty() || bookmark < end);
    if !bookmark.is_empty() && !within {
        return Err(StubError::Key { key: bookmark.into(), reason: "is a bookmark outside of the range" });
    }
    let metadata = QueryMetadata { page_size, bookmark: bookmark.into() };
    let request = GetStateByRange {
        start_key: start.into(),
        end_key: end.into(),
        collection: String::new(),
        metadata: metadata.encode_to_vec(),
    };
    let response: QueryResponse = link.ask_for(Type::GetStateByRange, &request)?;
    let metadata: QueryResponseMetadata = link::parse(Type::GetStateByRange, &response.metadata)?;
    if response.has_more {
        return Err(StubError::Protocol("a page by bookmark that has more".into()));
    }
    let results = response.results.iter().map(|result| key_value(&result.result_bytes));
    Ok(Page {
        results: results
            .collect::<Result<_, _>>()
            .map_err(|e| StubError::Protocol(format!("a result of a query: {e}")))?,
        fetched_records_count: u32::try_from(metadata.fetched_records_count)
            .map_err(|_| StubError::Protocol("a negative number of results".into()))?,
        bookmark: metadata.bookmark,
    })
}

/// The changes of a key.
pub(crate) fn history<'a>(link: &'a Link, key: &str) -> Result<QueryIter<'a, KeyModification>, StubError> {
    let request = GetHistoryForKey { key: key.into() };
    Ok(QueryIter::new(link, key_modification, link.ask_for(Type::GetHistoryForKey, &request)?))
}

fn key_value(bytes: &[u8]) -> Result<KeyValue, String> {
    let kv = queryresult::Kv::decode(bytes).map_err(|e| e.to_string())?;
    Ok(KeyValue { key: kv.key, value: kv.value })
}

fn key_modification(bytes: &[u8]) -> Result<KeyModification, String> {
    let change = queryresult::KeyModification::decode(bytes).map_err(|e| e.to_string())?;
    let timestamp =
        change.timestamp.and_then(Timestamp::new).ok_or("the timestamp is missing or out of range")?;
    let value = (!change.is_delete).then_some(change.value);
    Ok(KeyModification { tx_id: change.tx_id, value, timestamp })
}
