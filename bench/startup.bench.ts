import { execFileSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { constant, type Benchmark, type Contender, type Scale } from './harness.ts'
import { serverStart } from './server-start.ts'
import { makeTempDirectory } from './temp-directory.ts'

/** Processes for one measurement; the fastest counts, as a start is only ever slowed down. */
const STARTS: Readonly<Record<Scale, number>> = { full: 7, quick: 5, tiny: 1 }
/** Over bare Node. */
const FLOOR_MS = 60
const GOAL_MS = 25
/** A difference below this is noise. */
const LEAST_MS = 0.1

const repositoryRoot = join(import.meta.dirname, '..')
const BARE_DUCKDB = 'bare DuckDB'
const BARE = 'const ms = performance.now(); const id = 1'

export const startup: Benchmark = {
  name: 'startup',
  question:
    'How long until a fresh process, or server, has its first record acknowledged, or its first answer by SQL?',
  async *cases(scale) {
    await using directory = await makeTempDirectory()
    const built = join(directory.path, 'built')
    execFileSync(process.execPath, [join(repositoryRoot, 'src/bundle.mjs'), built])
    // Where the built package finds those that it needs.
    symlinkSync(join(repositoryRoot, 'node_modules'), join(directory.path, 'node_modules'))
    const starts = STARTS[scale]
    const entry = pathToFileURL(join(built, 'index.js')).href
    yield {
      name: 'in RAM',
      unit: 'ms over bare Node',
      higherIsBetter: false,
      targets: { [`${FLOOR_MS} ms`]: { floor: 1, goal: FLOOR_MS / GOAL_MS } },
      checksum: '1',
      ours: fresh('ours', starts, oursCode(entry)),
      peers: [
        fresh('node:sqlite in memory', starts, SQLITE),
        fresh('lmdb', starts, lmdbCode(join(directory.path, 'lmdb'))),
      ],
      limit: constant(`${FLOOR_MS} ms`, FLOOR_MS),
      missing: [],
    }
    yield {
      name: 'first answer by SQL',
      unit: 'ms since the process began',
      higherIsBetter: false,
      targets: { [BARE_DUCKDB]: { floor: 1 / 2, goal: 1 / 1.2 } },
      checksum: '1',
      ours: whole('ours', starts, oursQueryCode(entry)),
      peers: [],
      limit: whole(BARE_DUCKDB, starts, DUCKDB),
      missing: [],
    }
    yield await serverStart(built, starts)
  },
}

function oursCode(url: string): string {
  return `
    const { Stratalog } = await import('${url}')
    const db = await Stratalog.memoryOnly()
    const events = await db.createLog('events')
    await events.append({ id: 1, event: 'view' })
    const ms = performance.now()
    const [{ id }] = await events.read().toArray()`
}

function oursQueryCode(url: string): string {
  return `
    const { Stratalog } = await import('${url}')
    const db = await Stratalog.memoryOnly()
    const events = await db.createLog('events')
    await events.append({ id: 1, event: 'view' })
    const [{ id }] = await (await db.query('SELECT id FROM events')).toArray()
    const ms = performance.now()`
}

const DUCKDB = `
    const { DuckDBInstance } = await import('@duckdb/node-api')
    const instance = await DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    await connection.run('CREATE TABLE events (id INTEGER, event VARCHAR)')
    await connection.run("INSERT INTO events VALUES (1, 'view')")
    const [{ id }] = (await connection.runAndReadAll('SELECT id FROM events')).getRowObjectsJS()
    const ms = performance.now()`

const SQLITE = `
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(':memory:')
    database.exec('CREATE TABLE events (id INTEGER PRIMARY KEY, event TEXT)')
    database.prepare('INSERT INTO events VALUES (?, ?)').run(1, 'view')
    const ms = performance.now()
    const { id } = database.prepare('SELECT id FROM events').get()`

function lmdbCode(path: string): string {
  return `
    const { open } = await import('lmdb')
    const events = open({ path: ${JSON.stringify(path)}, noSync: true })
    await events.put(1, { id: 1, event: 'view' })
    const ms = performance.now()
    const { id } = events.get(1)`
}

/** The code sets `ms`, the time since its process began, and then `id`, what it read back. */
function fresh(name: string, starts: number, code: string): Contender {
  return {
    name,
    async measure() {
      let bare = Infinity
      let best = Infinity
      let checksum = ''
      for (let start = 0; start < starts; start++) {
        bare = Math.min(bare, run(BARE).ms)
        const sample = run(code)
        best = Math.min(best, sample.ms)
        checksum = String(sample.id)
      }
      return { value: Math.max(LEAST_MS, best - bare), checksum }
    },
  }
}

/** The same with the start of Node. */
function whole(name: string, starts: number, code: string): Contender {
  return {
    name,
    measure() {
      const samples = Array.from({ length: starts }, () => run(code))
      const value = Math.min(...samples.map(({ ms }) => ms))
      return Promise.resolve({ value, checksum: String(samples[0]?.id) })
    },
  }
}

function run(code: string): { readonly ms: number; readonly id: number } {
  const printed = `${code}\n process.stdout.write(JSON.stringify({ ms, id }), () => process.exit(0))`
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', printed], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  })
  return JSON.parse(output) as { ms: number; id: number }
}
