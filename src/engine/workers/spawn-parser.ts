import type { ParserChannel } from '../line-parser.ts'
import type { FromParser } from '../parse-thread.ts'

/** Starts a parsing thread. It does not keep the process alive until `setActive` says so. */
export function spawnParser(): ParserChannel {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  // Loaded with the first thread: no start waits for it.
  const { Worker } = process.getBuiltinModule('node:worker_threads')
  const worker = new Worker(new URL(`parse-worker.${extension}`, import.meta.url), {
    name: 'stratalog-parse',
    execArgv: [],
  })
  worker.unref()
  // Its end says all that whoever waits has to know.
  worker.on('error', () => {})
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (receive) => worker.on('message', (message: FromParser) => receive(message)),
    onExit: (exited) => worker.on('exit', () => exited()),
    setActive: (isActive) => (isActive ? worker.ref() : worker.unref()),
    terminate: async () => {
      await worker.terminate()
    },
  }
}
