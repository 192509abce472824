/**
 * A real process is killed at random moments, again and again on the same directory, while an oracle in this process
 * keeps what it said: acknowledged records are there and equal, and nothing is there that was not submitted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { isDeepStrictEqual } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { seededRandom } from '../../src/base/random.ts'
import { killRecord } from '../support/kill-record.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const CHILD = fileURLToPath(new URL('../support/kill-child.ts', import.meta.url))
const KILLS = process.env['CI'] === 'true' ? 100 : 50
/** Lives between two checks of everything. */
const LIVES_PER_CHECK = 5

/** What the oracle knows of one partition. */
interface Told {
  /** By offset: every life that submitted a record there. */
  readonly submitted: Map<number, Set<number>>
  /** By offset: the life whose record was acknowledged. */
  readonly acknowledged: Map<number, number>
}

class Oracle {
  readonly partitions = new Map<string, Told>()
  acknowledgements = 0

  hear(line: string, life: number): void {
    const [kind, key = '', fromText, countText] = line.split(' ')
    if (kind !== 'intent' && kind !== 'ack') return
    const told = this.#partition(key)
    const from = Number(fromText)
    for (let offset = from; offset < from + Number(countText); offset++) {
      if (kind === 'ack') told.acknowledged.set(offset, life)
      else told.submitted.set(offset, (told.submitted.get(offset) ?? new Set()).add(life))
    }
    if (kind === 'ack') this.acknowledgements++
  }

  #partition(key: string): Told {
    const known = this.partitions.get(key)
    if (known !== undefined) return known
    const told: Told = { submitted: new Map(), acknowledged: new Map() }
    this.partitions.set(key, told)
    return told
  }
}

async function live(
  root: string,
  life: number,
  oracle: Oracle,
  killAfterMs: number,
): Promise<void> {
  const journal = `${root}/life-${life}`
  const child: ChildProcess = spawn(
    process.execPath,
    [CHILD, `${root}/data`, `file://${root}/archive`, String(life), journal],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('exit', (_code, signal) => resolve(signal)),
  )
  const opened = new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()))
  // Every fourth life is killed while it starts, which is while it recovers.
  if (life % 4 !== 3) await Promise.race([opened, ended])
  await delay(killAfterMs)
  child.kill('SIGKILL')
  expect(await ended, `life ${life} ended by itself: ${stderr}`).toBe('SIGKILL')
  const lines = await readFile(journal, 'utf8').catch(() => '')
  for (const line of lines.split('\n')) oracle.hear(line, life)
}

async function check(dataDir: string, archive: string, oracle: Oracle): Promise<number> {
  await using db = await Stratalog.open({ dataDir, archive })
  let checked = 0
  for (const [key, told] of oracle.partitions) {
    const [name = '', partitionText] = key.split('/')
    const seen = new Map<number, Record<string, unknown>>()
    let expected = 0
    for await (const row of db
      .log(name)
      .read({ partition: Number(partitionText) })
      .rows()) {
      const { _offset, _partition, _time, ...record } = row
      if (_offset !== expected)
        expect.fail(`${key} has offset ${String(_offset)} where ${expected} comes next`)
      expected++
      seen.set(_offset, record)
    }
    for (const [offset, life] of told.acknowledged) {
      if (isDeepStrictEqual(seen.get(offset), killRecord(key, offset, life))) continue
      expect(seen.get(offset), `${key} offset ${offset} was acknowledged by life ${life}`).toEqual(
        killRecord(key, offset, life),
      )
    }
    for (const [offset, record] of seen) {
      const life = Number(record['life'])
      if (
        told.submitted.get(offset)?.has(life) !== true ||
        !isDeepStrictEqual(record, killRecord(key, offset, life))
      ) {
        expect.fail(
          `${key} offset ${offset} holds what nobody submitted: ${JSON.stringify(record)}`,
        )
      }
      // From here on this very record is there to stay.
      told.acknowledged.set(offset, life)
      checked++
    }
  }
  return checked
}

test(
  `${KILLS} kills at random moments lose no acknowledged record and invent none`,
  { timeout: 300_000 },
  async () => {
    const root = await temporaryDirectory()
    const [dataDir, archive] = [`${root}/data`, `file://${root}/archive`]
    const random = seededRandom(20_260)
    const oracle = new Oracle()
    let checked = 0
    for (let life = 0; life < KILLS; life++) {
      await live(root, life, oracle, random.uint32() % 220)
      if (life % LIVES_PER_CHECK === LIVES_PER_CHECK - 1)
        checked = await check(dataDir, archive, oracle)
    }
    expect(oracle.acknowledgements).toBeGreaterThan(KILLS)
    expect(checked).toBeGreaterThan(1_000)
  },
)
