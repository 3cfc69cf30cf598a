// What an application on the client of Fabric 2.2 does, a line of JSON for each scenario.
//
//   node scenarios.js NETWORK-FOLDER

'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { DefaultEventHandlerStrategies, DefaultQueryHandlerStrategies, Gateway, Wallets } = require('fabric-network');
const fabproto6 = require('fabric-protos');

const dir = process.argv[2];
const description = JSON.parse(fs.readFileSync(path.join(dir, 'network.json')));
const { channel, chaincode } = description;
const gateways = [];

/** The user of organisation 1, 2, … at its own peer. */
async function connect(number, options = {}) {
    const org = description.orgs[number - 1];
    const profile = JSON.parse(fs.readFileSync(path.join(dir, org.profile)));
    const wallet = await Wallets.newInMemoryWallet();
    const read = (file) => fs.readFileSync(path.join(dir, file), 'utf8');
    const credentials = { certificate: read(org.user.cert), privateKey: read(org.user.key) };
    await wallet.put('user', { type: 'X.509', mspId: org.msp_id, version: 1, credentials });
    const gateway = new Gateway();
    gateways.push(gateway);
    await gateway.connect(profile, {
        wallet,
        identity: 'user',
        discovery: { enabled: true, asLocalhost: true },
        ...options,
    });
    return gateway;
}

async function contract(number, options) {
    const network = await (await connect(number, options)).getNetwork(channel);
    return network.getContract(chaincode.name);
}

/** What the promise fails with. */
async function failure(promise) {
    try {
        await promise;
    } catch (error) {
        return error.message;
    }
    throw new Error('it did not fail');
}

/** What comes, or an error after a generous while. */
function within(promise) {
    const late = new Promise((_, reject) => {
        setTimeout(() => reject(new Error('nothing came')), 60000).unref();
    });
    return Promise.race([promise, late]);
}

const scenarios = {
    'submits and evaluates with discovery': async () => {
        const keys = await contract(1);
        await keys.submitTransaction('put', 'legacy', '1');
        assert.equal(String(await keys.evaluateTransaction('get', 'legacy')), '1');
    },
    'is endorsed by several organisations, whichever it asks': async () => {
        for (const number of [1, 2, 3]) {
            const keys = await contract(number);
            await keys.submitTransaction('put', `legacy-${number}`, 'v');
        }
        const keys = await contract(2);
        assert.equal(String(await keys.evaluateTransaction('get', 'legacy-3')), 'v');
    },
    'submits with the profile alone, without discovery': async () => {
        const keys = await contract(1, { discovery: { enabled: false } });
        await keys.submitTransaction('put', 'static', '1');
        assert.equal(String(await keys.evaluateTransaction('get', 'static')), '1');
    },
    'waits for every peer': async () => {
        const strategy = DefaultEventHandlerStrategies.NETWORK_SCOPE_ALLFORTX;
        const keys = await contract(1, { eventHandlerOptions: { strategy } });
        await keys.submitTransaction('put', 'everywhere', '1');
    },
    'waits for any peer of its organisation': async () => {
        const strategy = DefaultEventHandlerStrategies.MSPID_SCOPE_ANYFORTX;
        const keys = await contract(2, { eventHandlerOptions: { strategy } });
        await keys.submitTransaction('put', 'anywhere', '1');
    },
    'waits for nothing': async () => {
        const strategy = DefaultEventHandlerStrategies.NONE;
        const keys = await contract(1, { eventHandlerOptions: { strategy } });
        await keys.submitTransaction('put', 'unseen', '1');
    },
    'queries round robin': async () => {
        const strategy = DefaultQueryHandlerStrategies.PREFER_MSPID_SCOPE_ROUND_ROBIN;
        const keys = await contract(1, { queryHandlerOptions: { strategy } });
        for (let i = 0; i < 4; i += 1) {
            assert.equal(String(await keys.evaluateTransaction('get', 'legacy')), '1');
        }
    },
    'has transient data': async () => {
        const keys = await contract(1);
        const transaction = keys.createTransaction('who').setTransient({ secret: Buffer.from('four') });
        assert.match(String(await transaction.evaluate()), / of Org1MSP with 4 secret bytes at /);
    },
    'names endorsing organisations': async () => {
        const keys = await contract(1);
        const transaction = keys.createTransaction('put').setEndorsingOrganizations('Org1MSP', 'Org3MSP');
        await transaction.submit('named', '1');
    },
    'learns that too few endorsed': async () => {
        const keys = await contract(1);
        const transaction = keys.createTransaction('put').setEndorsingOrganizations('Org1MSP');
        assert.match(await failure(transaction.submit('few', '1')), /ENDORSEMENT_POLICY_FAILURE/);
    },
    'learns why the chaincode refuses': async () => {
        const keys = await contract(1);
        assert.match(await failure(keys.evaluateTransaction('get', 'none at all')), /no such key/);
        assert.match(await failure(keys.submitTransaction('fail', '500', 'as asked')), /as asked/);
    },
    'learns that a chaincode is unknown': async () => {
        const network = await (await connect(1)).getNetwork(channel);
        assert.ok(await failure(network.getContract('nobody').submitTransaction('put', 'k', 'v')));
    },
    'learns that a channel is unknown': async () => {
        const gateway = await connect(1);
        assert.ok(await failure(gateway.getNetwork('nowhere')));
    },
    'hears the events of a chaincode': async () => {
        const keys = await contract(1);
        let heard;
        const event = new Promise((resolve) => {
            heard = resolve;
        });
        await keys.addContractListener(async (one) => {
            if (String(one.payload) === 'evented') heard(one);
        });
        await keys.submitTransaction('put', 'evented', '1');
        const found = await within(event);
        assert.equal(found.eventName, 'put');
        assert.ok(found.getTransactionEvent().isValid);
    },
    'hears blocks from the first one on': async () => {
        const network = await (await connect(1)).getNetwork(channel);
        const numbers = [];
        let heard;
        const three = new Promise((resolve) => {
            heard = resolve;
        });
        const listener = async (event) => {
            numbers.push(event.blockNumber.toNumber());
            if (numbers.length === 3) heard();
        };
        await network.addBlockListener(listener, { startBlock: 0, type: 'full' });
        await within(three);
        network.removeBlockListener(listener);
        assert.deepEqual(numbers.slice(0, 3), [0, 1, 2]);
    },
    'hears filtered blocks and those with private data': async () => {
        for (const type of ['filtered', 'private']) {
            const network = await (await connect(1)).getNetwork(channel);
            let heard;
            const first = new Promise((resolve) => {
                heard = resolve;
            });
            await network.addBlockListener(async (event) => heard(event.blockNumber.toNumber()), { startBlock: 1, type });
            assert.equal(await within(first), 1);
        }
    },
    'hears what became of its transaction': async () => {
        const network = await (await connect(1)).getNetwork(channel);
        const keys = network.getContract(chaincode.name);
        const transaction = keys.createTransaction('put');
        let heard;
        const committed = new Promise((resolve) => {
            heard = resolve;
        });
        await network.addCommitListener((error, event) => heard(error ?? event), network.getChannel().getEndorsers('Org1MSP'), transaction.getTransactionId());
        await transaction.submit('committed', '1');
        assert.ok((await within(committed)).isValid);
    },
    'asks the chain': async () => {
        const network = await (await connect(1)).getNetwork(channel);
        const qscc = network.getContract('qscc');
        const info = fabproto6.common.BlockchainInfo.decode(await qscc.evaluateTransaction('GetChainInfo', channel));
        assert.ok(info.height > 1);
        const block = fabproto6.common.Block.decode(await qscc.evaluateTransaction('GetBlockByNumber', channel, '1'));
        assert.equal(Number(block.header.number), 1);
    },
    'asks for the configuration': async () => {
        const network = await (await connect(1)).getNetwork(channel);
        const cscc = network.getContract('cscc');
        const config = fabproto6.common.Config.decode(await cscc.evaluateTransaction('GetChannelConfig', channel));
        assert.deepEqual(Object.keys(config.channel_group.groups).sort(), ['Application', 'Orderer']);
    },
    'reads a collection of its organisation': async () => {
        const keys = await contract(1);
        const put = keys.createTransaction('put private').setTransient({ value: Buffer.from('secret') });
        await put.setEndorsingOrganizations('Org1MSP', 'Org2MSP').submit('pair', 'legacy');
        const read = keys.createTransaction('get private').setEndorsingOrganizations('Org1MSP');
        assert.equal(String(await read.evaluate('pair', 'legacy')), 'secret');
    },
};

(async () => {
    for (const [scenario, run] of Object.entries(scenarios)) {
        const start = Date.now();
        let error;
        try {
            await run();
        } catch (e) {
            error = e.stack ?? String(e);
        }
        console.log(JSON.stringify({ scenario, milliseconds: Date.now() - start, error }));
        while (gateways.length > 0) gateways.pop().disconnect();
    }
    process.exit(0);
})();
