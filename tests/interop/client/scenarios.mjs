// The scenarios of the official gateway project, against the chaincode of chaincode/shim/examples/keys.rs:
//
//     node scenarios.mjs DIR        DIR: the folder of a network of three organisations with the collection `pair`
//
// Writes a line of JSON for each scenario, {"scenario", "error"?, "milliseconds"}; fails if one of them has failed.

import assert from 'node:assert/strict';
import * as crypto from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { CommitError, EndorseError, GatewayError, checkpointers } from '@hyperledger/fabric-gateway';
import { Network } from './network.mjs';

const network = new Network(process.argv[2]);
const text = (bytes) => Buffer.from(bytes).toString();
const gateway = network.gateway(1);
const channel = gateway.getNetwork(network.channel);
const contract = channel.getContract(network.chaincode);
const contracts = [1, 2, 3].map((number) =>
    network.gateway(number).getNetwork(network.channel).getContract(network.chaincode),
);
const MSP_IDS = ['Org1MSP', 'Org2MSP', 'Org3MSP'];

/** Takes the first events that pass, as many as are wanted, and closes the stream. */
async function take(count, events, passes = () => true) {
    const taken = [];
    try {
        for await (const event of events) {
            if (passes(event)) {
                taken.push(event);
            }
            if (taken.length === count) {
                break;
            }
        }
    } finally {
        events.close();
    }
    return taken;
}

/** Waits until the other organisations' peers have what this one has. */
async function eventually(ask, expected) {
    for (let tries = 0; ; tries++) {
        let answer;
        try {
            answer = await ask();
        } catch (error) {
            answer = error;
        }
        if (answer === expected) {
            return;
        }
        assert.ok(tries < 600, `${answer} instead of ${expected}`);
        await new Promise((done) => setTimeout(done, 100));
    }
}

async function failure(call, kind) {
    let answer;
    try {
        answer = await call;
    } catch (error) {
        assert.ok(error instanceof kind, `${error.stack} is no ${kind.name}`);
        return error;
    }
    assert.fail(`no ${kind.name} but ${answer}`);
}

const scenarios = {
    // Transactions.
    async 'evaluate and submit'() {
        assert.equal(text(await contract.submitTransaction('append', 'js', 'a')), '');
        assert.equal(text(await contract.submitTransaction('append', 'js', 'b')), 'a');
        assert.equal(text(await contract.evaluateTransaction('get', 'js')), 'ab');
        // An evaluation writes nothing.
        assert.equal(text(await contract.evaluateTransaction('append', 'js', 'c')), 'ab');
        assert.equal(text(await contract.evaluateTransaction('get', 'js')), 'ab');
    },

    async 'transient data'() {
        const answer = await contract.evaluate('who', { transientData: { secret: 'four' } });
        assert.match(text(answer), /of Org1MSP with 4 secret bytes at \d+$/);
        const submitted = await contract.submit('who', {
            transientData: { secret: Buffer.from([1, 2, 3]) },
            endorsingOrganizations: ['Org1MSP', 'Org2MSP'],
        });
        assert.match(text(submitted), /with 3 secret bytes/);
    },

    async 'submit without waiting, then ask for the status'() {
        const submitted = await contract.submitAsync('append', { arguments: ['async', 'x'] });
        assert.equal(text(submitted.getResult()), '');
        const status = await submitted.getStatus();
        assert.deepEqual(
            [status.successful, status.code, status.transactionId],
            [true, 0, submitted.getTransactionId()],
        );
        assert.ok(status.blockNumber > 0n);
        const [block] = await take(1, await channel.getBlockEvents({ startBlock: status.blockNumber }));
        assert.equal(BigInt(block.getHeader().getNumber()), status.blockNumber);
    },

    async 'proposal, transaction and commit one by one'() {
        const proposal = contract.newProposal('put', { arguments: ['steps', '1'] });
        assert.match(proposal.getTransactionId(), /^[0-9a-f]{64}$/);
        const transaction = await proposal.endorse();
        assert.equal(transaction.getTransactionId(), proposal.getTransactionId());
        const commit = await transaction.submit();
        const status = await commit.getStatus();
        assert.equal(status.successful, true);
        // The same transaction again is the same transaction.
        await (await transaction.submit()).getStatus();
        assert.equal(text(await contract.evaluateTransaction('get', 'steps')), '1');
    },

    async 'large values'() {
        await contract.submitTransaction('put large', 'large', '3000000');
        assert.equal((await contract.evaluateTransaction('get', 'large')).length, 3_000_000);
    },

    // Endorsement.
    async 'every organisation endorses when it is asked to'() {
        for (const endorsingOrganizations of [MSP_IDS.slice(0, 2), MSP_IDS.slice(1), MSP_IDS]) {
            await contract.submit('put', { arguments: ['endorsed', '1'], endorsingOrganizations });
        }
    },

    async 'too few endorsements make a transaction invalid'() {
        const call = { arguments: ['endorsed', '2'], endorsingOrganizations: ['Org1MSP'] };
        const error = await failure(contract.submit('put', call), CommitError);
        assert.equal(error.code, 10, 'ENDORSEMENT_POLICY_FAILURE');
        assert.match(error.transactionId, /^[0-9a-f]{64}$/);
        assert.equal(text(await contract.evaluateTransaction('get', 'endorsed')), '1');
    },

    async "a key's own endorsement policy is found by the gateway"() {
        await contract.submitTransaction('put', 'sbe', '1');
        await contract.submitTransaction('set policy', 'sbe', 'Org3MSP');
        await contract.submitTransaction('put', 'sbe', '2');
        const call = { arguments: ['sbe', '3'], endorsingOrganizations: MSP_IDS.slice(0, 2) };
        const error = await failure(contract.submit('put', call), CommitError);
        assert.equal(error.code, 10, 'ENDORSEMENT_POLICY_FAILURE');
        assert.equal(text(await contract.evaluateTransaction('get', 'sbe')), '2');
    },

    // Errors.
    async 'a refusal of the contract comes with the peers that refused'() {
        const refused = await failure(contract.submitTransaction('fail', '500', 'as asked'), EndorseError);
        assert.equal(refused.code, grpc.status.ABORTED);
        assert.match(refused.transactionId, /^[0-9a-f]{64}$/);
        assert.ok(refused.details.length > 0);
        for (const { address, mspId, message } of refused.details) {
            assert.match(address, /:\d+$/);
            assert.ok(MSP_IDS.includes(mspId));
            assert.equal(message, 'chaincode response 500, as asked');
        }
        const evaluated = await failure(contract.evaluateTransaction('fail', '404', 'not here'), GatewayError);
        assert.equal(evaluated.code, grpc.status.UNKNOWN);
        assert.equal(evaluated.details[0].message, 'chaincode response 404, not here');
    },

    async 'an unknown chaincode, channel and organisation are refused'() {
        const unknown = channel.getContract('nothing');
        await failure(unknown.submitTransaction('get', 'x'), EndorseError);
        const elsewhere = gateway.getNetwork('elsewhere').getContract(network.chaincode);
        await failure(elsewhere.evaluateTransaction('get', 'x'), GatewayError);
        const call = { arguments: ['x', '1'], endorsingOrganizations: ['Org1MSP', 'Org9MSP'] };
        const error = await failure(contract.submit('put', call), EndorseError);
        assert.equal(error.code, grpc.status.UNAVAILABLE);
    },

    // Two appends that read the same version: whoever comes second in the block order has read what is no more.
    async 'of two conflicting transactions one is invalid'() {
        const transactions = await Promise.all(
            ['a', 'b'].map((value) => contract.newProposal('append', { arguments: ['conflict', value] }).endorse()),
        );
        const commits = [];
        for (const transaction of transactions) {
            commits.push(await transaction.submit());
        }
        const statuses = await Promise.all(commits.map((commit) => commit.getStatus()));
        assert.deepEqual(statuses.map((status) => status.code), [0, 11], 'VALID, MVCC_READ_CONFLICT');
    },

    async 'a deadline is kept'() {
        const late = network.gateway(1, { evaluateOptions: () => ({ deadline: Date.now() - 1 }) });
        const call = late.getNetwork(network.channel).getContract(network.chaincode).evaluateTransaction('get', 'js');
        assert.equal((await failure(call, GatewayError)).code, grpc.status.DEADLINE_EXCEEDED);
    },

    // Offline signing.
    async 'proposal, transaction and commit are signed elsewhere'() {
        const unsigned = network.gateway(2, { signer: undefined });
        const sign = network.signer(2);
        const offline = unsigned.getNetwork(network.channel).getContract(network.chaincode);
        const proposal = offline.newProposal('put', { arguments: ['offline', '1'] });
        await failure(proposal.endorse(), Error);
        const signedProposal = unsigned.newSignedProposal(proposal.getBytes(), await sign(proposal.getDigest()));
        assert.equal(signedProposal.getTransactionId(), proposal.getTransactionId());
        const transaction = await signedProposal.endorse();
        const signedTransaction = unsigned.newSignedTransaction(
            transaction.getBytes(),
            await sign(transaction.getDigest()),
        );
        const commit = await signedTransaction.submit();
        const signedCommit = unsigned.newSignedCommit(commit.getBytes(), await sign(commit.getDigest()));
        assert.equal((await signedCommit.getStatus()).successful, true);
        const question = offline.newProposal('get', { arguments: ['offline'] });
        const asked = unsigned.newSignedProposal(question.getBytes(), await sign(question.getDigest()));
        assert.equal(text(await asked.evaluate()), '1');
    },

    async 'a foreign signature is refused'() {
        const unsigned = network.gateway(2, { signer: undefined });
        const offline = unsigned.getNetwork(network.channel).getContract(network.chaincode);
        const proposal = offline.newProposal('put', { arguments: ['offline', '2'] });
        const forged = await network.signer(1)(proposal.getDigest());
        await failure(unsigned.newSignedProposal(proposal.getBytes(), forged).endorse(), EndorseError);
    },

    // Chaincode events.
    async 'chaincode events arrive as they happen and again from a block on'() {
        const live = await channel.getChaincodeEvents(network.chaincode);
        const submitted = await contract.submitAsync('put', { arguments: ['event', '1'] });
        const { blockNumber } = await submitted.getStatus();
        const ours = (event) => event.transactionId === submitted.getTransactionId();
        const [event] = await take(1, live, ours);
        assert.deepEqual(
            [event.chaincodeName, event.eventName, text(event.payload), event.blockNumber],
            [network.chaincode, 'put', 'event', blockNumber],
        );
        const replayed = await channel.getChaincodeEvents(network.chaincode, { startBlock: blockNumber });
        const [again] = await take(1, replayed, ours);
        assert.equal(text(again.payload), 'event');
    },

    async 'chaincode events go on after a checkpoint'() {
        const start = await (await contract.submitAsync('put', { arguments: ['check', '0'] })).getStatus();
        await contract.submitTransaction('put', 'check', '1');
        await contract.submitTransaction('put', 'check', '2');
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'interop-')), 'checkpoint.json');
        for (const checkpoint of [checkpointers.inMemory(), await checkpointers.file(file)]) {
            const options = { startBlock: start.blockNumber, checkpoint };
            const first = await take(2, await channel.getChaincodeEvents(network.chaincode, options));
            await checkpoint.checkpointChaincodeEvent(first[0]);
            const [next] = await take(1, await channel.getChaincodeEvents(network.chaincode, options));
            assert.equal(next.transactionId, first[1].transactionId);
        }
    },

    async 'a request for chaincode events is signed elsewhere'() {
        const unsigned = network.gateway(1, { signer: undefined });
        const { blockNumber } = await (await contract.submitAsync('put', { arguments: ['signed', '1'] })).getStatus();
        const request = unsigned
            .getNetwork(network.channel)
            .newChaincodeEventsRequest(network.chaincode, { startBlock: blockNumber });
        const signature = await network.signer(1)(request.getDigest());
        const signed = unsigned.newSignedChaincodeEventsRequest(request.getBytes(), signature);
        assert.equal((await take(1, await signed.getEvents())).length, 1);
    },

    // Block events.
    async 'blocks follow each other'() {
        const submitted = await contract.submitAsync('put', { arguments: ['block', '1'] });
        const { blockNumber } = await submitted.getStatus();
        const blocks = await take(Number(blockNumber) + 1, await channel.getBlockEvents({ startBlock: 0n }));
        blocks.forEach((block, number) => {
            assert.equal(block.getHeader().getNumber(), number);
            if (number > 1) {
                const previous = Buffer.from(block.getHeader().getPreviousHash());
                assert.deepEqual(previous, headerHash(blocks[number - 1].getHeader()));
            }
        });
    },

    async 'live blocks are those to come'() {
        const live = await channel.getBlockEvents();
        const next = take(1, live);
        const { blockNumber } = await (await contract.submitAsync('put', { arguments: ['live', '1'] })).getStatus();
        const [block] = await next;
        assert.ok(BigInt(block.getHeader().getNumber()) <= blockNumber);
    },

    async 'filtered blocks name transactions and hide payloads'() {
        const submitted = await contract.submitAsync('put', { arguments: ['filtered', '1'] });
        const { blockNumber } = await submitted.getStatus();
        const [block] = await take(1, await channel.getFilteredBlockEvents({ startBlock: blockNumber }));
        assert.equal(block.getChannelId(), network.channel);
        const transactions = block.getFilteredTransactionsList();
        const ours = transactions.find((one) => one.getTxid() === submitted.getTransactionId());
        assert.equal(ours.getTxValidationCode(), 0);
        const [action] = ours.getTransactionActions().getChaincodeActionsList();
        assert.equal(action.getChaincodeEvent().getEventName(), 'put');
        assert.equal(action.getChaincodeEvent().getPayload().length, 0);
    },

    async 'blocks with private data show it to members'() {
        const submitted = await contract.submitAsync('put private', {
            arguments: ['pair', 'block'],
            transientData: { value: 'for members' },
            endorsingOrganizations: ['Org1MSP', 'Org2MSP'],
        });
        const { blockNumber } = await submitted.getStatus();
        const events = await channel.getBlockAndPrivateDataEvents({ startBlock: blockNumber });
        const [block] = await take(1, events);
        assert.equal(BigInt(block.getBlock().getHeader().getNumber()), blockNumber);
        const data = [...block.getPrivateDataMapMap().entries()].map(([, set]) => Buffer.from(set.serializeBinary()));
        assert.ok(Buffer.concat(data).includes('for members'));
    },

    async 'requests for blocks are signed elsewhere'() {
        const unsigned = network.gateway(1, { signer: undefined });
        const sign = network.signer(1);
        const elsewhere = unsigned.getNetwork(network.channel);
        const start = { startBlock: 0n };
        const kinds = [
            [elsewhere.newBlockEventsRequest(start), (...args) => unsigned.newSignedBlockEventsRequest(...args)],
            [
                elsewhere.newFilteredBlockEventsRequest(start),
                (...args) => unsigned.newSignedFilteredBlockEventsRequest(...args),
            ],
            [
                elsewhere.newBlockAndPrivateDataEventsRequest(start),
                (...args) => unsigned.newSignedBlockAndPrivateDataEventsRequest(...args),
            ],
        ];
        for (const [request, signed] of kinds) {
            const events = signed(request.getBytes(), await sign(request.getDigest())).getEvents();
            assert.equal((await take(1, await events)).length, 1);
        }
    },

    async 'blocks go on after a checkpoint'() {
        const checkpoint = checkpointers.inMemory();
        for (let number = 0; number < 3; number++) {
            const [block] = await take(1, await channel.getBlockEvents({ startBlock: 0n, checkpoint }));
            assert.equal(block.getHeader().getNumber(), number);
            await checkpoint.checkpointBlock(BigInt(number));
        }
    },

    // Private data.
    async 'private data is for its members'() {
        await contract.submit('put private', {
            arguments: ['pair', 'js'],
            transientData: { value: 'secret' },
            endorsingOrganizations: ['Org1MSP', 'Org2MSP'],
        });
        for (const member of contracts.slice(0, 2)) {
            await eventually(async () => text(await member.evaluateTransaction('get private', 'pair', 'js')), 'secret');
        }
        const hash = crypto.createHash('sha256').update('secret').digest('base64');
        for (const anybody of contracts) {
            await eventually(async () => text(await anybody.evaluateTransaction('hash private', 'pair', 'js')), hash);
        }
        const error = await failure(contracts[2].evaluateTransaction('get private', 'pair', 'js'), GatewayError);
        assert.match(JSON.stringify(error.details), /does not have read access permission/);
    },

    async 'who has no part in a collection cannot endorse for it'() {
        const call = {
            arguments: ['pair', 'js'],
            transientData: { value: 'stolen' },
            endorsingOrganizations: ['Org3MSP'],
        };
        const theirs = contracts[2].submit('put private', call);
        const error = await failure(theirs, EndorseError);
        assert.match(JSON.stringify(error.details), /does not have write access permission/);
    },

    async 'private data is purged'() {
        const endorsingOrganizations = ['Org1MSP', 'Org2MSP'];
        await contract.submit('purge private', { arguments: ['pair', 'js'], endorsingOrganizations });
        const error = await failure(contract.evaluateTransaction('hash private', 'pair', 'js'), GatewayError);
        assert.match(error.details[0].message, /no such key/);
    },

    // Queries of the state.
    async 'history and pages'() {
        await contract.submitTransaction('put', 'past', '1');
        await contract.submitTransaction('delete', 'past');
        const history = JSON.parse(text(await contract.evaluateTransaction('history', 'past')));
        assert.deepEqual(history.map((change) => change.value), [null, '1']);
        await contract.submitTransaction('fill', 'js', '7');
        const page = JSON.parse(text(await contract.evaluateTransaction('table page', 'js', '5', '')));
        const rest = JSON.parse(text(await contract.evaluateTransaction('table page', 'js', '5', page.bookmark)));
        assert.deepEqual([page.count, rest.count, rest.bookmark], [5, 2, '']);
    },
};

/** The hash of a block's header: SHA-256 of its ASN.1 form. */
function headerHash(header) {
    const length = (content) => (content.length < 128 ? [content.length] : [0x81, content.length]);
    const element = (tag, content) => Buffer.concat([Buffer.from([tag, ...length(content)]), content]);
    let number = BigInt(header.getNumber()).toString(16);
    number = Buffer.from(number.length % 2 ? `0${number}` : number, 'hex');
    if (number[0] & 0x80) {
        number = Buffer.concat([Buffer.from([0]), number]);
    }
    const content = Buffer.concat([
        element(2, number),
        element(4, Buffer.from(header.getPreviousHash())),
        element(4, Buffer.from(header.getDataHash())),
    ]);
    return crypto.createHash('sha256').update(element(0x30, content)).digest();
}

let failed = false;
for (const [scenario, run] of Object.entries(scenarios)) {
    const begin = Date.now();
    const line = { scenario };
    try {
        await run();
    } catch (error) {
        failed = true;
        line.error = error.stack;
    }
    line.milliseconds = Date.now() - begin;
    console.log(JSON.stringify(line));
}
network.close();
process.exit(failed ? 1 : 0);
