/**
 * A vitest global setup: one MinIO for the whole run, started when the first test asks for it.
 * Tests call `sharedMinio()`.
 *
 * Test files run in processes of their own, so the setup offers a loopback address; the first
 * request there starts MinIO, and every request is answered with its settings, or with why it did
 * not start. Runs that need no S3 never wait for it.
 */
import { createServer, type Server } from 'node:http'
import { inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import { startMinio, type Minio, type MinioSettings } from './minio.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly minioStarter: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  let minio: Promise<Minio> | null = null
  const server = createServer((_request, response) => {
    minio ??= startMinio()
    minio.then(
      ({ endpoint, accessKeyId, secretAccessKey, region }) =>
        response.end(JSON.stringify({ endpoint, accessKeyId, secretAccessKey, region })),
      (error: unknown) =>
        response.writeHead(500).end(error instanceof Error ? error.message : String(error)),
    )
  })
  // Building MinIO may take minutes; the asking test waits.
  server.requestTimeout = 0
  project.provide('minioStarter', await listen(server))
  return async () => {
    server.closeAllConnections()
    server.close()
    await minio?.then(
      (started) => started.stop(),
      () => {},
    )
  }
}

/** The MinIO of this run. @throws Error that says what to install when there is none. */
export async function sharedMinio(): Promise<MinioSettings> {
  const response = await fetch(inject('minioStarter'))
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return JSON.parse(text) as MinioSettings
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  return `http://127.0.0.1:${address.port}/`
}
