//! Private data: what only the members of a collection get to see, while all peers keep the hashes.

use crate::composite::{composite_range, simple_range};
use crate::stub::check_key;
use crate::writes::Write;
use crate::{KeyValue, QueryIter, Stub, StubError, query};
use fabric_protos::peer;
use fabric_protos::peer::chaincode_message::Type;

/// # Private data
///
/// Every method fails with [`StubError::Collection`] for an empty name of a collection, and otherwise as
/// its counterpart for the public state. Values belong into the transient data of a proposal; arguments
/// are on the ledger.
impl Stub {
    /// The committed value of a key in a collection, if it has one. Refused by a peer that is not a member.
    ///
    /// # Errors
    /// [`StubError`] where the peer refuses or is gone.
    pub fn get_private_data(&self, collection: &str, key: &str) -> Result<Option<Vec<u8>>, StubError> {
        check_collection(collection)?;
        self.get(collection, key)
    }

    /// The committed values of several keys in a collection, in their order, as
    /// [`get_states`](Self::get_states).
    ///
    /// # Errors
    /// [`StubError`] where the peer refuses or is gone.
    pub fn get_multiple_private_data<K: AsRef<str>>(
        &self,
        collection: &str,
        keys: &[K],
    ) -> Result<Vec<Option<Vec<u8>>>, StubError> {
        check_collection(collection)?;
        self.get_multiple(collection, keys)
    }

    /// The SHA-256 hash of a key's committed value, if it has one; peers that are no members know it too.
    ///
    /// # Errors
    /// [`StubError`] where the peer refuses or is gone.
    pub fn get_private_data_hash(&self, collection: &str, key: &str) -> Result<Option<Vec<u8>>, StubError> {
        check_collection(collection)?;
        check_key(key)?;
        let request = peer::GetState { key: key.into(), collection: collection.into() };
        let hash = self.link().ask(Type::GetPrivateDataHash, &request)?;
        Ok((!hash.is_empty()).then_some(hash))
    }

    /// Writes a key of a collection, as [`put_state`](Self::put_state).
    ///
    /// # Errors
    /// [`StubError`] as there.
    pub fn put_private_data(
        &self,
        collection: &str,
        key: &str,
        value: impl Into<Vec<u8>>,
    ) -> Result<(), StubError> {
        check_collection(collection)?;
        self.put(collection, key, value.into())
    }

    /// Deletes a key of a collection; it need not exist. Its earlier values stay with the members.
    ///
    /// # Errors
    /// [`StubError`] as for [`del_state`](Self::del_state).
    pub fn del_private_data(&self, collection: &str, key: &str) -> Result<(), StubError> {
        check_collection(collection)?;
        self.write(collection, key, Write::Delete)
    }

    /// Deletes a key of a collection and all its earlier values from the members' peers; the hashes stay
    /// in the blocks. It need not exist. Peers since Fabric 2.5, on channels with the capability V2_5.
    ///
    /// # Errors
    /// [`StubError`] as for [`del_state`](Self::del_state).
    pub fn purge_private_data(&self, collection: &str, key: &str) -> Result<(), StubError> {
        check_collection(collection)?;
        self.write(collection, key, Write::Purge)
    }

    /// The simple keys of a collection from `start`, included, to `end`, excluded, as
    /// [`get_state_by_range`](Self::get_state_by_range) in calls that write nothing. Nothing guards the
    /// range against changes until the transaction commits.
    ///
    /// # Errors
    /// [`StubError`] as there.
    pub fn get_private_data_by_range(
        &self,
        collection: &str,
        start: &str,
        end: &str,
    ) -> Result<QueryIter<'_, KeyValue>, StubError> {
        check_collection(collection)?;
        query::range(self.link(), collection, simple_range(start, end)?)
    }

    /// The composite keys of a collection that begin with this type and these attributes, in calls that write
    /// nothing.
    ///
    /// # Errors
    /// [`StubError`] as for
    /// [`get_state_by_partial_composite_key`](Self::get_state_by_partial_composite_key).
    pub fn get_private_data_by_partial_composite_key<A: AsRef<str>>(
        &self,
        collection: &str,
        object_type: &str,
        attributes: &[A],
    ) -> Result<QueryIter<'_, KeyValue>, StubError> {
        check_collection(collection)?;
        let (start, end) = composite_range(object_type, attributes)?;
        query::range(self.link(), collection, (&start, &end))
    }

    /// The endorsement policy of a key in a collection, if it has one of its own.
    ///
    /// # Errors
    /// [`StubError`] where the peer refuses or is gone.
    pub fn get_private_data_validation_parameter(
        &self,
        collection: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StubError> {
        check_collection(collection)?;
        self.get_policy(collection, key)
    }

    /// Gives a key of a collection an endorsement policy, as
    /// [`set_state_validation_parameter`](Self::set_state_validation_parameter).
    ///
    /// # Errors
    /// [`StubError`] as there.
    pub fn set_private_data_validation_parameter(
        &self,
        collection: &str,
        key: &str,
        policy: impl Into<Vec<u8>>,
    ) -> Result<(), StubError> {
        check_collection(collection)?;
        self.write(collection, key, Write::Policy(policy.into()))
    }
}

/// Without a name the peer would take the request for one about the public state.
fn check_collection(name: &str) -> Result<(), StubError> {
    if name.is_empty() { Err(StubError::Collection) } else { Ok(()) }
}
