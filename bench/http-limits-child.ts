/**
 * A server of `node:http` that does nothing with what it gets, as a process of its own: what a server in Node can
 * reach. `discard` takes bodies and answers, `send` gives the file that its second argument names.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const [, , what = 'discard', file] = process.argv
const sent = file === undefined ? null : readFileSync(file)
const ANSWER = '{"partition":0,"offset":0,"count":1000}'

const server = createServer((request, response) => {
  if (what === 'send' && sent !== null) {
    response.writeHead(200, { 'content-length': sent.length })
    response.end(sent)
    return
  }
  request.resume()
  request.once('end', () => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': ANSWER.length,
    })
    response.end(ANSWER)
  })
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ port })}\n`)
})
