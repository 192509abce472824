/** `inspect` of WAL files that are damaged. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { type CliResult, runCli } from '../support/cli.ts'

const place = new CliPlace()
afterAll(() => place.remove())

test('a WAL frame that is not intact before intact ones is damage, and at the end it is not', async () => {
  const data = place.fresh()
  const input = ['{"a":1}', '{"a":2}', '{"a":3}'].join('\n')
  const appended = await runCli(['append', ...data, '--log', 'l'], { input })
  expect(appended.status).toBe(0)
  const folder = join(data[1] ?? '', 'wal')
  const name = readdirSync(folder).find((file) => file.endsWith('.wal')) ?? ''
  const whole = readFileSync(join(folder, name))
  const frames: number[] = []
  for (let at = whole.indexOf('WALF', 64); at >= 0; at = whole.indexOf('WALF', at + 8))
    frames.push(at)
  expect(frames.length).toBeGreaterThan(3)
  const inspectFlipped = async (frame: number | undefined): Promise<CliResult> => {
    const bytes = Buffer.from(whole)
    const at = (frame ?? 0) + 8
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return await runCli(['inspect', place.file('flipped.wal', bytes), '--json'])
  }
  const middle = await inspectFlipped(frames[1])
  expect(middle.status).toBe(8)
  expect(JSON.parse(middle.stdout)).toMatchObject({
    end: 'damaged',
    problems: [{ position: frames[1] }],
  })
  expect(JSON.parse(middle.stderr)).toMatchObject({ error: { code: 'wal_corrupt' } })
  expect((await inspectFlipped(frames.at(-1))).status).toBe(0)
})
