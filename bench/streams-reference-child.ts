/** The reference server of the Durable Streams protocol, in memory, as a process of its own. */
import { DurableStreamTestServer } from '@durable-streams/server'

const server = new DurableStreamTestServer({ port: 0, host: '127.0.0.1' })
const url = await server.start()
process.stdout.write(`${JSON.stringify({ url })}\n`)
