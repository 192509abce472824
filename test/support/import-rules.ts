/**
 * Who may import whom, as functions from source texts to findings. A finding is one line that names the place, what is
 * wrong and what to do. `test/tidy.test.ts` runs them over the repository and shows each one failing.
 */
import { importsOf, type ImportedModule, type SourceFile } from './source-text.ts'

/** Who may import whom: a folder imports folders of lower levels and itself. `index` is `src/index.ts`. */
export const FOLDER_LEVELS: Readonly<Record<string, number>> = {
  base: 0,
  format: 1,
  storage: 1,
  log: 2,
  tiering: 3,
  snapshot: 3,
  replay: 3,
  query: 3,
  engine: 4,
  index: 5,
  client: 6,
  server: 6,
  cli: 7,
}

interface Entrance {
  readonly folders: readonly string[]
  /** At most one file of those folders imports the package. */
  readonly oneFile?: true
}

/** Where each third-party package enters. A package that is not here enters nowhere. */
export const PACKAGE_ENTRANCES: Readonly<Record<string, Entrance>> = {
  'apache-arrow': { folders: ['format', 'client'] },
  flatbuffers: { folders: ['format'] },
  'lz4-napi': { folders: ['format'] },
  '@node-rs/crc32': { folders: ['format'] },
  '@aws-sdk/client-s3': { folders: ['storage'], oneFile: true },
  'proper-lockfile': { folders: ['storage', 'engine'], oneFile: true },
  '@duckdb/node-api': { folders: ['query'] },
  '@duckdb/node-bindings': { folders: ['query'] },
  pino: { folders: ['engine'], oneFile: true },
  valibot: { folders: ['engine'] },
  commander: { folders: ['cli'] },
  'cli-table3': { folders: ['cli'] },
  hyparquet: { folders: ['format', 'query', 'cli'] },
  'hyparquet-writer': { folders: ['format', 'query'] },
  'prom-client': { folders: ['server'], oneFile: true },
}

/** Packages whose types describe values that pass through every layer. */
const TYPES_EVERYWHERE: readonly string[] = ['apache-arrow']

const PURE_BUILTINS: readonly string[] = ['buffer', 'path', 'path/posix', 'util', 'url', 'events']

/** Node modules that reach outside the process, or hide state, and who owns such access: folders and files of src. */
const BUILTIN_ENTRANCES: Readonly<Record<string, readonly string[]>> = {
  crypto: ['format', 'storage', 'snapshot', 'replay', 'engine', 'server', 'cli'],
  fs: ['storage', 'cli'],
  'fs/promises': ['storage', 'engine/host.ts', 'cli'],
  child_process: ['storage', 'engine', 'cli'],
  worker_threads: ['engine', 'cli'],
  stream: ['storage', 'server', 'cli'],
  'stream/promises': ['storage', 'server', 'cli'],
  os: ['engine', 'cli'],
  v8: ['engine', 'cli'],
  process: ['engine', 'cli'],
  // Of `format`, to load what is not JavaScript with its first use.
  module: ['format', 'engine', 'cli'],
  http: ['storage', 'server', 'cli'],
  https: ['storage', 'server', 'cli'],
  tls: ['server'],
  net: ['storage', 'server', 'cli'],
  'dns/promises': ['storage'],
  readline: ['cli'],
  'readline/promises': ['cli'],
  tty: ['cli'],
  zlib: ['format', 'server', 'cli'],
}

export function directionFindings(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const from = folderOf(file.path)
    if (from === null) return []
    const level = FOLDER_LEVELS[from]
    if (level === undefined)
      return [`${file.path}: src/${from} is not a folder of the design; see FOLDER_LEVELS`]
    return localImports(file).flatMap(({ target, line }) => {
      const to = folderOf(target)
      if (to === null)
        return [`${file.path}:${line}: src may not import ${target}, which is not shipped`]
      if (to === from || (FOLDER_LEVELS[to] ?? Infinity) < level) return []
      return [
        `${file.path}:${line}: ${from} may not import ${to}; imports go down: ${levelsText()}`,
      ]
    })
  })
}

export function cycleFindings(files: readonly SourceFile[]): string[] {
  const edges = new Map(
    files.map((file) => [file.path, localImports(file).map(({ target }) => target)]),
  )
  const done = new Set<string>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) {
      found.push(`import cycle: ${[...trail.slice(start), path].join(' -> ')}`)
      return
    }
    if (done.has(path)) return
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}

export function packageFindings(file: SourceFile): string[] {
  const folder = folderOf(file.path)
  if (folder === null) return []
  return importsOf(file.text).flatMap((imported) => {
    if (imported.specifier.startsWith('.')) return []
    const problem = imported.specifier.startsWith('node:')
      ? builtinProblem(imported, file.path)
      : packageProblem(imported, folder)
    return problem === null ? [] : [`${file.path}:${imported.line}: ${problem}`]
  })
}

function builtinProblem({ specifier, typeOnly }: ImportedModule, path: string): string | null {
  const name = specifier.slice('node:'.length)
  if (PURE_BUILTINS.includes(name) || typeOnly) return null
  const owners = BUILTIN_ENTRANCES[name] ?? []
  if (owners.some((owner) => `${path}/`.startsWith(`src/${owner}/`))) return null
  return `${specifier} is used in ${owners.join(', ') || 'no folder'} only; take a port`
}

function packageProblem({ specifier, typeOnly }: ImportedModule, folder: string): string | null {
  const name = packageOf(specifier)
  const entrance = PACKAGE_ENTRANCES[name]
  if (entrance === undefined)
    return `${name} has no entrance; add it to PACKAGE_ENTRANCES with a reason in the commit`
  if (entrance.folders.includes(folder)) return null
  if (typeOnly && TYPES_EVERYWHERE.includes(name) && folder !== 'base') return null
  return `${name} enters in ${entrance.folders.join(', ')} only`
}

export function oneFileFindings(files: readonly SourceFile[]): string[] {
  return Object.entries(PACKAGE_ENTRANCES).flatMap(([name, entrance]) => {
    if (entrance.oneFile !== true) return []
    const users = files.filter((file) =>
      importsOf(file.text).some(({ specifier }) => packageOf(specifier) === name),
    )
    if (users.length <= 1) return []
    return [
      `${name} enters in one file, and ${users.map((file) => file.path).join(' and ')} import it`,
    ]
  })
}

/** The folder of a file of `src`, `index` for those that lie in `src` itself, null for files outside. */
function folderOf(path: string): string | null {
  const parts = path.split('/')
  if (parts[0] !== 'src') return null
  return parts.length === 2 ? 'index' : (parts[1] ?? null)
}

function localImports(file: SourceFile): { readonly target: string; readonly line: number }[] {
  return importsOf(file.text)
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier, line }) => ({ target: resolvePath(file.path, specifier), line }))
}

function resolvePath(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function levelsText(): string {
  const byLevel: string[][] = []
  for (const [folder, level] of Object.entries(FOLDER_LEVELS)) (byLevel[level] ??= []).push(folder)
  return byLevel.map((folders) => folders.join(', ')).join(' <- ')
}
