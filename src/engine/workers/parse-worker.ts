/** The parsing thread's composition root. */
import { parentPort } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import { ParseThread, type ToParser } from '../parse-thread.ts'

const port = present(parentPort, 'the port to the thread that started this worker')
const thread = new ParseThread((message) => port.postMessage(message))
port.on('message', (message: ToParser) => thread.receive(message))
