/**
 * The conformance tests of the Durable Streams protocol, none left out, against a real server over a socket: in memory,
 * and on a data directory before and after a restart. Both at once: the tests wait for most of their time.
 */
import { expect, test } from 'vitest'
import { runConformance } from '../support/durable-streams-conformance.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** As many as version 0.3.6 has, beside those of subscriptions. */
const TESTS = 332

test.concurrent('a server in memory passes all of them', { timeout: 900_000 }, async () => {
  const server = await TestServer.start(['--memory-only'])
  const { passed, failed } = await runConformance(server.url)
  expect((await server.stop()).status).toBe(0)
  expect(failed).toEqual([])
  expect(passed).toBe(TESTS)
})

test.concurrent(
  'a server on a directory passes all of them, and again after a restart',
  { timeout: 1_800_000 },
  async () => {
    const dataDir = await temporaryDirectory()
    for (const _life of ['first', 'second']) {
      const server = await TestServer.start(['--data-dir', dataDir])
      const { passed, failed } = await runConformance(server.url)
      expect((await server.stop()).status).toBe(0)
      expect(failed).toEqual([])
      expect(passed).toBe(TESTS)
    }
  },
)
