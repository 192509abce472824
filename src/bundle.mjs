/**
 * Writes the JavaScript of `dist`, or of the folder that is named. Each module costs every start about a third of a
 * millisecond, so all that `stratalog` loads at once is one file; what is imported dynamically stays apart until it is
 * needed. A thread or a process that queries has a bundle of its own, with the packages it needs inside: of those only
 * what is not JavaScript stays outside.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const source = fileURLToPath(new URL('.', import.meta.url))
const dir = process.argv[2] ?? `${source}../dist`
const modules = `${source}../node_modules`

/** Packages of which a few functions are dozens of modules. */
const OF_MANY_MODULES = /^(?:apache-arrow\/fb\/|flatbuffers$|hyparquet\/src\/)/

const bundle = await rolldown({
  input: {
    index: `${source}index.ts`,
    // For browsers too: it shares nothing with the rest but `base`, which has nothing of Node.
    'client/index': `${source}client/index.ts`,
    'cli/main': `${source}cli/main.ts`,
    'chunks/engine-child': `${source}cli/demo/engine-child.ts`,
  },
  platform: 'node',
  external: (id) => /^[^./]/.test(id) && !OF_MANY_MODULES.test(id),
})
const { output: shared } = await bundle.write({
  dir,
  chunkFileNames: 'chunks/[name].js',
  comments: false,
  codeSplitting: {
    groups: [
      // The command line needs these for its help, which should not wait for the rest.
      { name: 'base', test: /[\\/]src[\\/]base[\\/]/, priority: 1 },
      { name: 'stratalog', test: /[\\/]src[\\/]index\.ts$/ },
      { name: 'queries', test: /[\\/]src[\\/]engine[\\/]open-queries\.ts$/ },
    ],
  },
})

/** Threads and processes are started by a URL beside the file that starts them, so they lie beside the chunks. */
const WORKERS = [
  'query-worker',
  'query-bridge',
  'query-process',
  'encode-worker',
  'parse-worker',
  'wal-worker',
]

/** Those that their own loaders find, for the machine that they run on. */
const NATIVE = /^(?:node:|@duckdb\/node-bindings|@node-rs\/|lz4-napi|fs-ext|koffi)/

const outputs = [shared]
for (const worker of WORKERS) {
  const own = await rolldown({
    input: { [worker]: `${source}engine/workers/${worker}.ts` },
    platform: 'node',
    external: NATIVE,
  })
  const { output } = await own.write({
    dir: `${dir}/chunks`,
    chunkFileNames: `${worker}-[name].js`,
    comments: false,
  })
  outputs.push(output)
}

/** The packages whose code is in what was written. */
const inside = new Set()
for (const { moduleIds = [] } of outputs.flat()) {
  for (const id of moduleIds) {
    const name = /node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(id)?.[1]
    if (name !== undefined) inside.add(name.replaceAll('\\', '/'))
  }
}

const LICENSE_FILES = ['LICENSE', 'LICENSE.txt', 'LICENSE.md', 'license']

/** What a package says of its license. */
function licenseOf(name) {
  const { version, license } = JSON.parse(readFileSync(`${modules}/${name}/package.json`, 'utf8'))
  const text = LICENSE_FILES.map((file) => readFileOrNull(`${modules}/${name}/${file}`)).find(
    (known) => known !== null,
  )
  return `${name} ${version} (${license})\n\n${text ?? ''}`
}

function readFileOrNull(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

writeFileSync(
  `${dir}/third-party-licenses.txt`,
  `${[...inside]
    .sort((a, b) => (a < b ? -1 : 1))
    .map(licenseOf)
    .join('\n\n\n')}\n`,
)
