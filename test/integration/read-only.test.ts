/** An engine that reads beside the process that writes: it follows, and it knows whether there is a writer. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import process from 'node:process'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const COUNT = 300

test('a live read follows what another engine writes: every record once, in order, through every tier', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  await using db = await Stratalog.open({ dataDir })
  const log = await db.createLog('orders')
  await log.append([{ n: 0 }, { n: 1 }])
  await using reader = await Stratalog.openReadOnly({ dataDir })
  const stop = new AbortController()
  const seen: unknown[] = []
  const reading = (async () => {
    for await (const row of reader.log('orders').read({ live: true, signal: stop.signal }).rows()) {
      seen.push(row['n'])
      if (seen.length === COUNT) stop.abort()
    }
  })()
  for (let n = 2; n < COUNT; n++) {
    await log.append({ n })
    // The reader comes to each of these with another state of the directory.
    if (n % 60 === 0) {
      await db.tier.now({ to: 'disk' })
      await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(n + 1)
    }
  }
  await reading
  expect(seen).toEqual(Array.from({ length: COUNT }, (_, n) => n))
})

test('a process that follows a directory stays alive, and ends by its limit', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  await using db = await Stratalog.open({ dataDir })
  const log = await db.createLog('orders')
  await log.append({ n: 0 })
  const script = `
    import { Stratalog } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)}
    const db = await Stratalog.openReadOnly({ dataDir: ${JSON.stringify(dataDir)} })
    for await (const row of db.log('orders').read({ live: true, limit: 2 }).rows()) console.log(row.n)
    await db.close()
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exited = once(child, 'exit')
  await expect.poll(() => output, { timeout: 20_000 }).toBe('0\n')
  await log.append({ n: 1 })
  expect((await exited)[0]).toBe(0)
  expect(output).toBe('0\n1\n')
})

test('a live read that waits ends with its signal and with its engine', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  await using db = await Stratalog.open({ dataDir })
  await db.createLog('orders')
  const reader = await Stratalog.openReadOnly({ dataDir })
  const signal = AbortSignal.timeout(20)
  expect(await reader.log('orders').read({ live: true, signal }).toArray()).toEqual([])
  const reading = reader.log('orders').read({ live: true }).toArray()
  const refused = expect(reading).rejects.toMatchObject({ code: 'engine_closed' })
  await reader.close()
  await refused
})

test('the status names the writer that lives, and nobody after its end or its crash', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  const writerOf = async (directory: string): Promise<unknown> => {
    await using reader = await Stratalog.openReadOnly({ dataDir: directory })
    return reader.status().writer
  }
  const db = await Stratalog.open({ dataDir })
  expect(db.status().writer).toMatchObject({ pid: process.pid })
  expect(await writerOf(dataDir)).toEqual(db.status().writer)
  // What a kill would leave: the lock's file with the holder's name, and no lock.
  await cp(dataDir, `${root}/killed`, { recursive: true })
  expect(await writerOf(`${root}/killed`)).toBeNull()
  await using next = await Stratalog.open({ dataDir: `${root}/killed` })
  expect(next.status().writer).toMatchObject({ pid: process.pid })
  await db.close()
  expect(await writerOf(dataDir)).toBeNull()
})
