/** Two processes and one directory: what a writer that is stopped, superseded and let go on may still do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const CHILD = fileURLToPath(new URL('../support/writer-child.ts', import.meta.url))

interface Writing {
  readonly child: ChildProcess
  readonly output: () => string
  readonly told: () => readonly string[]
}

/** Without a PATH there is no `flock`, as where a system or a file system has none. */
function start(root: string, name: string, hasFlock: boolean): Writing {
  const journal = `${root}/journal-${name}`
  const child = spawn(process.execPath, [CHILD, `${root}/data`, journal, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: hasFlock ? process.env : { ...process.env, PATH: '' },
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const told = (): readonly string[] => {
    try {
      return readFileSync(journal, 'utf8').trim().split('\n')
    } catch {
      return []
    }
  }
  return { child, output: () => output, told }
}

async function untilTold({ told }: Writing, count: number): Promise<void> {
  await expect.poll(() => told().length, { timeout: 30_000 }).toBeGreaterThan(count)
}

function acknowledged({ told }: Writing): number[] {
  return told().flatMap((line) => {
    const [code, log, n] = line.split(' ')
    return code === 'ack' && log === 'orders' ? [Number(n)] : []
  })
}

async function recordsOf(db: Stratalog, name: string): Promise<number[]> {
  const rows = await db.log('orders').read().toArray()
  return rows.filter((row) => row['writer'] === name).map((row) => Number(row['n']))
}

test('while a stopped process lives its kernel lock keeps others out, who are told whom', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  const first = start(root, 'first', true)
  await untilTold(first, 20)
  first.child.kill('SIGSTOP')
  const refused = await expectError(Stratalog.open({ dataDir }), 'directory_in_use')
  expect(refused.message).toContain(`pid ${first.child.pid} on `)
  expect(refused.details['holder']).toMatchObject({ pid: first.child.pid })
  // Reading beside it works, and writes nothing.
  const reader = await Stratalog.openReadOnly({ dataDir })
  expect((await recordsOf(reader, 'first')).length).toBeGreaterThanOrEqual(9)
  expect(reader.status().writer).toMatchObject({ pid: first.child.pid })
  await reader.close()
  const before = first.told().length
  first.child.kill('SIGCONT')
  await untilTold(first, before + 20)
  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  await using db = await Stratalog.open({ dataDir })
  const found = await recordsOf(db, 'first')
  expect(found.slice(0, acknowledged(first).length)).toEqual(acknowledged(first))
})

test('without kernel locks a stopped process is superseded, and acknowledges nothing when it goes on', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  const first = start(root, 'first', false)
  await untilTold(first, 20)
  first.child.kill('SIGSTOP')
  const toldBefore = first.told()
  // Its lease lives for some seconds; whoever comes before is told whose it is, with kernel locks and without.
  const refused = await expectError(Stratalog.open({ dataDir }), 'directory_in_use')
  expect(refused.details['holder']).toMatchObject({ pid: first.child.pid })
  let second = start(root, 'second', false)
  for (const until = performance.now() + 60_000; performance.now() < until;) {
    await expect.poll(() => second.output(), { timeout: 30_000 }).not.toBe('')
    if (second.output() === 'open\n') break
    expect(second.output()).toContain('directory_in_use')
    second = start(root, 'second', false)
  }
  await untilTold(second, 20)
  first.child.kill('SIGCONT')
  const [code] = (await once(first.child, 'exit')) as [number]
  expect(code).toBe(9)
  // What was under way may have been decided before the stop; nothing that began after it is acknowledged.
  const since = first.told().slice(toldBefore.length)
  expect(since.filter((line) => line.startsWith('ack')).length).toBeLessThanOrEqual(1)
  expect(since.at(-1)).toMatch(/^writer_fenced /)
  const before = second.told().length
  await untilTold(second, before + 20)
  second.child.kill('SIGKILL')
  await once(second.child, 'exit')
  rmSync(`${dataDir}/lock.lock`, { recursive: true, force: true })
  await using db = await Stratalog.open({ dataDir })
  for (const writing of [first, second]) {
    const name = writing === first ? 'first' : 'second'
    const found = await recordsOf(db, name)
    expect(found.slice(0, acknowledged(writing).length)).toEqual(acknowledged(writing))
  }
})

test('a writer whose lock file was taken away does not acknowledge beside another, nor touch its lock', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  const first = await Stratalog.open({ dataDir, logLevel: 'silent' })
  const orders = await first.createLog('orders')
  await orders.append({ n: 0 })
  rmSync(`${dataDir}/lock`)
  await using second = await Stratalog.open({ dataDir })
  await second.log('orders').append({ n: 1 })
  const refused = await expectError(orders.append({ n: 2 }), 'writer_fenced')
  expect(refused.kind).toBe('fenced')
  expect(first.status()).toMatchObject({ disk: { state: 'fenced' } })
  await expectError(orders.append({ n: 3 }), 'writer_fenced')
  expect(await orders.read().toArray()).toMatchObject([{ n: 0 }])
  const text = readFileSync(`${dataDir}/lock`, 'utf8')
  await first.close()
  expect(readFileSync(`${dataDir}/lock`, 'utf8')).toBe(text)
  await second.log('orders').append({ n: 4 })
  expect(await second.log('orders').read().toArray()).toMatchObject([{ n: 0 }, { n: 1 }, { n: 4 }])
})
