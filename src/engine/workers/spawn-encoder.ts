import { Worker } from 'node:worker_threads'
import type { FromEncoder } from '../../tiering/encoder-thread.ts'
import type { EncoderChannel } from '../../tiering/threaded-encoder.ts'

/** Starts an encoding thread. It does not keep the process alive until `setActive` says so. */
export function spawnEncoder(): EncoderChannel {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`encode-worker.${extension}`, import.meta.url), {
    name: 'stratalog-encode',
    execArgv: [],
  })
  worker.unref()
  let error: Error | null = null
  worker.on('error', (cause: unknown) => {
    error = cause instanceof Error ? cause : new Error(String(cause))
  })
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (receive) => worker.on('message', (message: FromEncoder) => receive(message)),
    onExit: (exited) => worker.on('exit', () => exited(error)),
    setActive: (isActive) => (isActive ? worker.ref() : worker.unref()),
    terminate: async () => {
      await worker.terminate()
    },
  }
}
