// A network that Confab's launcher has started, seen by the official client.

import * as crypto from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { connect, signers } from '@hyperledger/fabric-gateway';

/** What `network.json` in the folder says. */
export class Network {
    constructor(dir) {
        this.dir = dir;
        this.description = JSON.parse(fs.readFileSync(path.join(dir, 'network.json')));
        this.clients = [];
    }

    read(file) {
        return fs.readFileSync(path.join(this.dir, file));
    }

    get channel() {
        return this.description.channel;
    }

    get chaincode() {
        return this.description.chaincode.name;
    }

    /** The user of organisation 1, 2, … at its own peer. With `signer: undefined` nobody signs. */
    gateway(number, options = {}) {
        const org = this.description.orgs[number - 1];
        const credentials = grpc.credentials.createSsl(this.read(org.peer.tls.ca));
        const client = new grpc.Client(org.peer.address, credentials, {
            'grpc.ssl_target_name_override': org.peer.host,
        });
        this.clients.push(client);
        return connect({
            client,
            identity: { mspId: org.msp_id, credentials: this.read(org.user.cert) },
            signer: this.signer(number),
            ...options,
        });
    }

    /** Signs digests with the organisation's key. */
    signer(number) {
        const key = this.read(this.description.orgs[number - 1].user.key);
        return signers.newPrivateKeySigner(crypto.createPrivateKey(key));
    }

    close() {
        this.clients.forEach((client) => client.close());
    }
}
