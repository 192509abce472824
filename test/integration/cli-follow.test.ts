/** `read --follow`: records as they come, of a directory that another process writes, and of a server. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { runCli, runJson, spawnCli } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
afterAll(() => place.remove())

interface Following {
  readonly next: () => Promise<string>
  readonly interrupt: () => Promise<number | null>
}

function follow(...args: readonly string[]): Following {
  const child = spawnCli(['read', '--follow', ...args])
  child.stdin.end()
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close')
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    next: async () => String((await lines.next()).value),
    interrupt: async () => {
      child.kill('SIGINT')
      await ended
      return child.exitCode
    },
  }
}

async function appendLine(child: ChildProcessWithoutNullStreams, line: string): Promise<void> {
  child.stdin.write(`${line}\n`)
  await once(child.stdout, 'data')
}

test('of a directory, until it is interrupted', async () => {
  const data = place.fresh()
  const writer = spawnCli(['append', ...data, '--log', 'l'])
  const written = once(writer, 'close')
  await appendLine(writer, '{"n":1}')
  const following = follow(...data, '--log', 'l', '--columns', 'n,_offset')
  expect(await following.next()).toBe('{"n":1,"_offset":0}')
  await appendLine(writer, '{"n":2}')
  expect(await following.next()).toBe('{"n":2,"_offset":1}')
  expect(await following.interrupt()).toBe(130)
  writer.stdin.end()
  await written
})

test('of a server, as NDJSON and as CSV', async () => {
  const server = await TestServer.start([])
  onTestFinished(async () => void (await server.stop()))
  const url = ['--url', server.url]
  const flags = [...url, '--log', 'l', '--columns', 'n,_offset']
  await runJson(['logs', 'create', 'l', ...url, '--schema', place.file('s.json', '{"n":"int32"}')])
  const json = follow(...flags)
  const csv = follow(...flags, '--format', 'csv')
  // The header is there before any record.
  expect(await csv.next()).toBe('n,_offset')
  for (const n of [7, 8]) {
    await runCli(['append', ...url, '--log', 'l'], { input: `{"n":${n}}\n` })
    expect(await json.next()).toBe(`{"n":${n},"_offset":${n - 7}}`)
    expect(await csv.next()).toBe(`${n},${n - 7}`)
  }
  expect(await json.interrupt()).toBe(130)
  expect(await csv.interrupt()).toBe(130)
  const { status } = await runCli(['read', '--follow', ...flags, '--format', 'parquet'])
  expect(status).toBe(2)
})
