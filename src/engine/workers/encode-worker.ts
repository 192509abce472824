/** The encoding thread's composition root. */
import { parentPort } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import { EncoderThread, type ToEncoder } from '../../tiering/encoder-thread.ts'

const port = present(parentPort, 'the port to the thread that started this worker')
const thread = new EncoderThread((message, transfer) => port.postMessage(message, transfer))
port.on('message', (message: ToEncoder) => thread.receive(message))
