// A webhook endpoint as its authors' libraries say to write one: each request is
// checked by standardwebhooks and by svix, and kept when both accept it.
//
// node verify.mjs PORT SECRET CERT KEY OUT: listens with TLS on the loopback
// interface, and writes a line of JSON for each request accepted.
import { appendFileSync, readFileSync } from 'node:fs';
import https from 'node:https';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

const [port, secret, cert, key, out] = process.argv.slice(2);

function refused(body, headers) {
  for (const Webhook of [Standard, Svix]) {
    try {
      new Webhook(secret).verify(body, headers);
    } catch (e) {
      return e.message;
    }
  }
  return '';
}

const server = https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString('utf8');
  const why = refused(body, request.headers);
  if (why) {
    response.writeHead(401).end(why);
    return;
  }
  appendFileSync(out, JSON.stringify({ id: request.headers['webhook-id'], signatures: request.headers['webhook-signature'], body }) + '\n');
  response.writeHead(204).end();
});
server.listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
