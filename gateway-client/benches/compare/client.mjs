// The official client under the same load as ours; see main.rs.
//
// The argument is a JSON file that says where the peer is and who calls. Each line of the input asks for a block of
// transactions, {"transactions", "in_flight", "prefix"}; each is answered by {"latencies_us", "cpu_us"}.

import * as grpc from '@grpc/grpc-js';
import { connect, hash, signers } from '@hyperledger/fabric-gateway';
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

const setup = JSON.parse(await readFile(process.argv[2], 'utf8'));
const credentials = grpc.credentials.createSsl(await readFile(setup.tls_ca));
const client = new grpc.Client(setup.address, credentials, { 'grpc.ssl_target_name_override': setup.host });
const gateway = connect({
    client,
    hash: hash.sha256,
    identity: { mspId: setup.msp_id, credentials: await readFile(setup.certificate) },
    signer: signers.newPrivateKeySigner(createPrivateKey(await readFile(setup.key))),
});
const contract = gateway.getNetwork(setup.channel).getContract(setup.chaincode);
const value = 'x'.repeat(100);

async function block({ transactions, in_flight, prefix }) {
    const latencies_us = [];
    let next = 0;
    const worker = async () => {
        while (next < transactions) {
            const key = `${prefix}${next++}`;
            const start = process.hrtime.bigint();
            await contract.submit('put', { arguments: [key, value] });
            latencies_us.push(Number((process.hrtime.bigint() - start) / 1000n));
        }
    };
    const before = process.cpuUsage();
    await Promise.all(Array.from({ length: in_flight }, worker));
    const used = process.cpuUsage(before);
    return { latencies_us, cpu_us: used.user + used.system };
}

for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await block(JSON.parse(line))));
}
gateway.close();
client.close();
