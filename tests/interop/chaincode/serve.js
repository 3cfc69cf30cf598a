// Serves the contract of this folder as Confab's launcher asks for it, with the SDK's own command.

'use strict';

const { env } = process;
process.argv.splice(
    2,
    Infinity,
    'server',
    '--chaincode-address', env.CHAINCODE_SERVER_ADDRESS,
    '--chaincode-id', env.CHAINCODE_ID,
    '--chaincode-tls-cert-file', env.CHAINCODE_TLS_CERT,
    '--chaincode-tls-key-file', env.CHAINCODE_TLS_KEY,
    ...(env.CHAINCODE_CLIENT_CA_CERT ? ['--chaincode-tls-client-cacert-file', env.CHAINCODE_CLIENT_CA_CERT] : []),
    '--module-path', __dirname,
);
require('fabric-shim/cli.js');
