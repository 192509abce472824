/**
 * The programs that tests start hundreds of times. From source most of a start is the loading of modules and the
 * stripping of their types, so a run of the tests bundles them once, as `npm run build` does (src/bundle.mjs), into
 * `node_modules/.cache/stratalog/<what they were built from>`. Without a run of the tests, as in `npm run soak`, they
 * are started from source.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { readdirSync, statSync, utimesSync } from 'node:fs'
import { basename, join } from 'node:path'
import { rolldown } from 'rolldown'
import { filesBelow, readText, repositoryRoot } from './repository.ts'
import { BUILT_VARIABLE, CHILDREN } from './program.ts'

const CACHE = join(repositoryRoot, 'node_modules/.cache/stratalog')
/** Nobody runs tests of that code any more. */
const KEPT_MS = 24 * 60 * 60_000

/** A vitest global setup. A run that another one started, as those of the mutants, has what that one built. */
export async function setup(): Promise<void> {
  process.env[BUILT_VARIABLE] ??= await build()
}

async function build(): Promise<string> {
  const folder = join(CACHE, digest())
  if (existsSync(folder)) {
    const now = new Date()
    utimesSync(folder, now, now)
    return folder
  }
  mkdirSync(CACHE, { recursive: true })
  dropOld()
  const temporary = mkdtempSync(join(CACHE, 'building-'))
  const dist = join(temporary, 'dist')
  execFileSync(process.execPath, [join(repositoryRoot, 'src/bundle.mjs'), dist])
  await bundleChildren(join(dist, 'chunks'))
  // What is bundled looks for its version two folders above it.
  cpSync(join(repositoryRoot, 'package.json'), join(temporary, 'package.json'))
  try {
    renameSync(temporary, folder)
  } catch (error) {
    rmSync(temporary, { recursive: true })
    // Another run was first with the same.
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** Threads are started by a URL beside the code that starts them, and so the children lie where the workers are. */
async function bundleChildren(dir: string): Promise<void> {
  const bundle = await rolldown({
    input: CHILDREN.map((path) => join(repositoryRoot, path)),
    platform: 'node',
    external: (id) => /^[^./]/.test(id),
  })
  await bundle.write({ dir, chunkFileNames: 'test-[name].js' })
}

/** Of all that goes into a bundle. */
function digest(): string {
  const hash = createHash('sha256')
  const tests = filesBelow('test', '.ts').filter(({ path }) => !path.endsWith('.test.ts'))
  for (const { path, text } of [...filesBelow('src', '.ts'), ...tests])
    hash.update(`${path}\0${text}\0`)
  for (const path of ['src/bundle.mjs', 'package-lock.json']) hash.update(readText(path))
  return hash.digest('hex').slice(0, 32)
}

function dropOld(): void {
  const before = Date.now() - KEPT_MS
  for (const name of readdirSync(CACHE)) {
    const folder = join(CACHE, basename(name))
    if (statSync(folder).mtimeMs < before) rmSync(folder, { recursive: true, force: true })
  }
}
