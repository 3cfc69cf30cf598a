// A contract in the official Node SDK that does with keys whatever a contract can do.

'use strict';

const { Contract } = require('fabric-contract-api');
const { KeyEndorsementPolicy } = require('fabric-shim');

/** The keys of an iterator as JSON; a composite one by its parts, joined with `/`. */
async function keysOf(stub, results) {
    const keys = [];
    for await (const { key } of results) {
        if (key.startsWith('\u0000')) {
            const { objectType, attributes } = stub.splitCompositeKey(key);
            keys.push([objectType, ...attributes].join('/'));
        } else {
            keys.push(key);
        }
    }
    return JSON.stringify(keys);
}

// Whatever is no text is answered as JSON: the SDK's own way to make it asks the package class-transformer for a
// function that the release has not which it installs.
class Keys extends Contract {
    async put({ stub }, key, value) {
        await stub.putState(key, Buffer.from(value));
        stub.setEvent('put', Buffer.from(key));
    }

    async append({ stub }, key, value) {
        const before = (await stub.getState(key)).toString();
        await stub.putState(key, Buffer.from(before + value));
        return before;
    }

    async get({ stub }, key) {
        const value = await stub.getState(key);
        if (value.length === 0) {
            throw new Error(`no such key: ${key}`);
        }
        return value.toString();
    }

    async delete({ stub }, key) {
        await stub.deleteState(key);
    }

    async history({ stub }, key) {
        const changes = [];
        for await (const change of stub.getHistoryForKey(key)) {
            changes.push([change.txId, change.isDelete ? null : Buffer.from(change.value).toString()]);
        }
        return JSON.stringify(changes);
    }

    async range({ stub }, start, end) {
        return keysOf(stub, stub.getStateByRange(start, end));
    }

    async page({ stub }, start, end, size, bookmark) {
        const { iterator, metadata } = await stub.getStateByRangeWithPagination(start, end, Number(size), bookmark);
        const keys = [];
        for (let next = await iterator.next(); ; next = await iterator.next()) {
            if (next.value) {
                keys.push(next.value.key);
            }
            if (next.done) {
                break;
            }
        }
        await iterator.close();
        return JSON.stringify({ keys, count: metadata.fetchedRecordsCount, bookmark: metadata.bookmark });
    }

    async fill({ stub }, table, count) {
        for (let n = 0; n < Number(count); n++) {
            await stub.putState(stub.createCompositeKey(table, [String(n).padStart(5, '0')]), Buffer.from(String(n)));
        }
    }

    async table({ stub }, table) {
        return keysOf(stub, stub.getStateByPartialCompositeKey(table, []));
    }

    async putPrivate({ stub }, collection, key) {
        await stub.putPrivateData(collection, key, stub.getTransient().get('value'));
    }

    async getPrivate({ stub }, collection, key) {
        const value = await stub.getPrivateData(collection, key);
        if (value.length === 0) {
            throw new Error(`no such key: ${key}`);
        }
        return value.toString();
    }

    async hashPrivate({ stub }, collection, key) {
        return Buffer.from(await stub.getPrivateDataHash(collection, key)).toString('base64');
    }

    async purgePrivate({ stub }, collection, key) {
        await stub.purgePrivateData(collection, key);
    }

    async setPolicy({ stub }, key, organisation) {
        const policy = new KeyEndorsementPolicy();
        policy.addOrgs('PEER', organisation);
        await stub.setStateValidationParameter(key, policy.getPolicy());
    }

    async who({ stub, clientIdentity }) {
        const secret = stub.getTransient().get('secret');
        return `${clientIdentity.getMSPID()} with ${secret ? secret.length : 0} secret bytes`;
    }

    async fail(_context, message) {
        throw new Error(message);
    }
}

module.exports.contracts = [Keys];
