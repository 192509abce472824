/** The examples of docs/client.md run as they stand, against a server that is started for them. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { readText, repositoryRoot } from '../support/repository.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const page = readText('docs/client.md')
const blocks = [...page.matchAll(/^```ts run server\n([\s\S]*?)^```$/gm)].map(
  (match) => match[1] ?? '',
)

const ENTRANCES = { stratalog: 'src/index.ts', 'stratalog/client': 'src/client/index.ts' }

test('the examples run', async () => {
  const folder = await temporaryDirectory()
  const archive = pathToFileURL(join(folder, 'archive')).href
  const server = await TestServer.start(['--data-dir', join(folder, 'data'), '--archive', archive])
  onTestFinished(async () => void (await server.stop()))
  expect(blocks.length).toBeGreaterThan(2)
  for (const block of blocks) {
    let code = block.replaceAll('http://127.0.0.1:8080', server.url)
    for (const [name, path] of Object.entries(ENTRANCES))
      code = code.replaceAll(
        `from '${name}'`,
        `from '${pathToFileURL(join(repositoryRoot, path)).href}'`,
      )
    writeFileSync(join(folder, 'example.ts'), code)
    const options = { cwd: folder, encoding: 'utf8', stdio: 'pipe' } as const
    expect(execFileSync(process.execPath, ['example.ts'], options)).not.toContain('Error')
  }
})
