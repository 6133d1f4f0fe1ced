// Instead of the rewrite in next.config.mjs, for a service with API keys: the key stays on this server.

import { NextResponse } from "next/server";

export const config = { matcher: "/api/:path*" };

export function proxy(request) {
  const { pathname, search } = request.nextUrl;
  const headers = new Headers(request.headers);
  headers.set("X-API-Key", process.env.COMFY_RELAY_API_KEY ?? "");
  return NextResponse.rewrite(new URL(pathname + search, process.env.COMFY_RELAY_URL), { request: { headers } });
}
