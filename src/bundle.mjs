/**
 * Writes the JavaScript of `dist`, or of the folder that is named. Each module costs every start about a third of a millisecond, so all that `stratalog`
 * loads at once is one file; what is imported dynamically stays apart until it is needed.
 */
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const source = fileURLToPath(new URL('.', import.meta.url))
const dir = process.argv[2] ?? `${source}../dist`

const bundle = await rolldown({
  input: {
    index: `${source}index.ts`,
    // For browsers too: it shares nothing with the rest but `base`, which has nothing of Node.
    'client/index': `${source}client/index.ts`,
    'cli/main': `${source}cli/main.ts`,
    // Threads and processes are started by a URL beside the file that starts them, so they lie beside the chunks.
    'chunks/query-worker': `${source}engine/workers/query-worker.ts`,
    'chunks/query-bridge': `${source}engine/workers/query-bridge.ts`,
    'chunks/query-process': `${source}engine/workers/query-process.ts`,
    'chunks/encode-worker': `${source}engine/workers/encode-worker.ts`,
    'chunks/parse-worker': `${source}engine/workers/parse-worker.ts`,
    'chunks/wal-worker': `${source}engine/workers/wal-worker.ts`,
    'chunks/engine-child': `${source}cli/demo/engine-child.ts`,
  },
  platform: 'node',
  external: /^[^./]/,
})
await bundle.write({
  dir,
  chunkFileNames: 'chunks/[name].js',
  comments: false,
  codeSplitting: {
    groups: [
      // The command line needs these for its help, which should not wait for the rest.
      { name: 'base', test: /[\\/]src[\\/]base[\\/]/, priority: 1 },
      { name: 'stratalog', test: /[\\/]src[\\/]index\.ts$/ },
    ],
  },
})
