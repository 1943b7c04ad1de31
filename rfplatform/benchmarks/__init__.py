"""The benchmarks themselves, a family a file; `rfplatform.catalog` lists them."""
